"""Footfall on one machine with containers. The programs here need nothing but Python itself."""
