"""MSD_musicnn as a teacher: a music tagger that has heard 200,000 songs, frozen below a ridge or fine-tuned."""
