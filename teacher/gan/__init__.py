"""The conditional GAN on spectrograms: training, synthesis, and the gate on its quality."""
