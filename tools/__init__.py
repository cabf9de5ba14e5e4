"""What stands behind the Makefile and is no part of a stage."""
