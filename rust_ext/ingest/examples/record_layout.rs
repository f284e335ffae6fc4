//! Prints `core_ext/record_layout.pxd`.
fn main() {
    print!("{}", footfall_ingest::layout::record_layout_pxd());
}
