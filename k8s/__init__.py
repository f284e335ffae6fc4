"""How Footfall runs on Kubernetes, and what of it is generated from code."""
