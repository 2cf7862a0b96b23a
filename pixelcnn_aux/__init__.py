"""PixelCNN models with auxiliary variables."""
