//! The font of everything this program draws: nothing depends on what the system has installed.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

/// The name under which plotters knows the font.
pub const FAMILY: &str = "sans-serif";
/// The printable ASCII characters of DejaVu Sans.
const FONT: &[u8] = include_bytes!("../fonts/DejaVuSans-ascii.ttf");

/// Makes [`FAMILY`] known to plotters; to be called before anything is drawn.
pub fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // A font that cannot be read shows as an error of the first text.
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
}
