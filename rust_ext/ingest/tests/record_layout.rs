//! core_ext reads the offsets that this crate writes.

#[test]
fn the_committed_cython_header_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../core_ext/record_layout.pxd");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        committed,
        footfall_ingest::layout::record_layout_pxd(),
        "run: cargo run -p footfall-ingest --example record_layout > core_ext/record_layout.pxd"
    );
}
