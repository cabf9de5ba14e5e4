"""The teacher: a conditional GAN that draws spectrograms, and a vision transformer that learns emotion from them."""
