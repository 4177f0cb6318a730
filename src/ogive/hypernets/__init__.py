"""Hypernetworks: networks that predict the weights of networks, and the architectures that they learn from."""
