"""Hypernetworks at work on one's own data: trained by a preset, and asked for the parameters of one's own networks."""
