"""The `lpu` command: one file per subcommand in ``lpu/commands/``."""
