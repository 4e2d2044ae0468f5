//! With `bundled-gdal`: links the C++ library into the program, as it does GDAL, so that it runs
//! where neither is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let bundled = std::env::var_os("CARGO_FEATURE_BUNDLED_GDAL").is_some();
    let gnu_linux = std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux")
        && std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu");
    if !bundled || !gnu_linux {
        return;
    }
    let Some(folder) = std::env::var_os("OUT_DIR").map(PathBuf::from) else {
        return;
    };
    match archive_alone(&folder) {
        // Searched before the system's folders, and without the shared library beside it.
        Ok(()) => println!("cargo::rustc-link-search=native={}", folder.display()),
        Err(why) => println!("cargo::warning=libstdc++ stays a shared library: {why}"),
    }
}

/// The compiler's C++ library as an archive, in a folder of its own.
fn archive_alone(folder: &Path) -> Result<(), String> {
    const NAME: &str = "libstdc++.a";
    let told = Command::new("cc")
        .arg(format!("-print-file-name={NAME}"))
        .output()
        .map_err(|error| format!("cc: {error}"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&told.stdout).trim());
    if !path.is_absolute() {
        return Err(format!("{NAME} is not installed"));
    }
    let copied = std::fs::copy(&path, folder.join(NAME));
    copied.map(drop).map_err(|error| error.to_string())
}
