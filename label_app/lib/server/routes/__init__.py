"""The addresses of the server: those of MONAI Label that its clients use, each with its checks."""
