"""pocketmood turns labelled music into a model that tells, on a phone, how music feels."""

__version__ = "0.2.0"
