"""Front end and student as one program, in three formats, each proven against PyTorch."""
