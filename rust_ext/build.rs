//! Tells the module which Cargo profile it was built with: benchmarks refuse anything but `release` (and `quick`).

fn main() {
    // target/<profile>/build/<package>/out; the profile `dev` has the folder `debug`.
    let out_dir = std::env::var("OUT_DIR").unwrap_or_default();
    let profile = std::path::Path::new(&out_dir).ancestors().nth(3).and_then(|folder| folder.file_name());
    println!("cargo::rustc-env=FOOTFALL_BUILD_PROFILE={}", profile.and_then(|name| name.to_str()).unwrap_or("unknown"));
    println!("cargo::rerun-if-changed=build.rs");
}
