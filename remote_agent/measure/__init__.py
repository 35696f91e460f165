"""Figures: ResNet-50 and the kernels below it, with their conditions and their uncertainty."""
