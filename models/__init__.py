"""Small trained models that ship with the project, and the scripts that trained them."""
