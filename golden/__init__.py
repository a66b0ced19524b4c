"""The golden model: what the core computes, cycle by cycle, in numpy and without any RTL."""
