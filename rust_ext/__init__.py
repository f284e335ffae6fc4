"""The ingest core for Python. Everything comes from the compiled module; its checked stub is `_ingest.pyi`."""

from rust_ext._ingest import Agents, SegmentScan, bot_reasons, rules_info_json, scan_segment

__all__ = ["Agents", "SegmentScan", "bot_reasons", "rules_info_json", "scan_segment"]
