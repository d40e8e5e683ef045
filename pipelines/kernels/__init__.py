"""Pure kernels: Arrow and NumPy in, Arrow and NumPy out."""
