"""core_ext: a sealed segment becomes one ClickHouse block.

Import `core_ext.native` for the encoder and `core_ext.frames` for the frame writer. This package root stays free of
compiled imports, so that the build can read `core_ext.extensions` before anything is compiled.

It imports nothing of Footfall's: it meets `rust_ext` only in the segment format (`record_layout.pxd`).
"""
