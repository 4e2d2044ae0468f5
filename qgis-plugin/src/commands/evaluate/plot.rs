//! The picture of an evaluation (`--plot`): is the uncertainty right, and what do the fills look
//! like?

use std::path::Path;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use unclouded_core::raster::Raster;

use super::pair::{Fill, MODEL, Pair};
use super::uncertainty::Figures;
use crate::failure::{Failure, Result};
use crate::font::{self, FAMILY};
use crate::gdal_io::pending::PendingFile;
use crate::gdal_io::rgb;
use crate::training::report::{pixel, stretch_range};

/// Width of the picture (px).
pub const WIDTH_PX: u32 = 1200;
/// Height of the two diagrams (px).
pub const DIAGRAMS_PX: u32 = 440;
/// Height of the line that names the columns (px).
pub const HEADER_PX: u32 = 30;
/// Height of the line under each tile (px).
pub const CAPTION_PX: u32 = 24;
/// Gap between tiles, and the margin (px).
const GAP_PX: u32 = 8;
/// Most examples in the picture.
pub const MOST_ROWS: usize = 5;
/// What is hidden, in the picture of the input.
const HIDDEN: Rgb<u8> = Rgb([214, 214, 214]);
/// Colours of a measured and of an ideal line.
const MEASURED: RGBColor = RGBColor(31, 90, 165);
const IDEAL: RGBColor = RGBColor(120, 120, 120);
const MESH: RGBColor = RGBColor(232, 232, 232);
/// The examples of the picture, spread evenly over the images of a run.
pub struct Strip {
    images: usize,
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

/// A tile with what stands above its column and below it.
struct Cell {
    column: String,
    caption: String,
    tile: RgbImage,
}

impl Strip {
    /// For a run of so many images and `methods` methods.
    pub fn new(images: usize, methods: usize) -> Self {
        Strip {
            images,
            // Besides the methods: the input, a sample and the truth; without the mean fill.
            columns: methods + 2,
            rows: Vec::new(),
        }
    }

    /// Takes an image of the run if it is its turn.
    pub fn offer(&mut self, index: usize, pair: &Pair) {
        let wanted = MOST_ROWS.min(self.images);
        if self.rows.len() < wanted && index >= self.rows.len() * self.images / wanted {
            let side = tile_px(self.columns);
            self.rows.push(cells(pair, side));
        }
    }

    /// Height of all rows with their captions (px).
    fn height_px(&self) -> u32 {
        HEADER_PX + self.rows.len() as u32 * (tile_px(self.columns) + CAPTION_PX) + GAP_PX
    }
}

/// Side of a tile (px), so that the columns fill the width.
fn tile_px(columns: usize) -> u32 {
    let columns = columns as u32;
    (WIDTH_PX - GAP_PX * (columns + 1)) / columns
}

/// The tiles of one image, from left to right: input, the model's fills, its rivals, the truth.
fn cells(pair: &Pair, side: u32) -> Vec<Cell> {
    let shown = shown_bands(pair);
    let truth = select(&pair.example.image, &shown);
    let range = stretch_range(&truth);
    let cell = |column: &str, caption: String, image: &Raster, hidden: bool| {
        let image = select(image, &shown);
        let tile = RgbImage::from_fn(image.width as u32, image.height as u32, |x, y| {
            let (row, col) = (y as usize, x as usize);
            if hidden && pair.hole.at(row, col) {
                HIDDEN
            } else {
                pixel(&image, row, col, range)
            }
        });
        Cell {
            column: column.to_owned(),
            caption,
            tile: fit(&tile, side),
        }
    };
    let psnr = |fill: &Fill| format!("{:.1} dB", fill.scores.1.psnr_db);
    let filled = |name: &str, fill: &Fill| cell(name, psnr(fill), &fill.stored, false);
    let mut row = vec![cell(
        "cloudy",
        pair.example.name.clone(),
        &pair.example.image,
        true,
    )];
    for fill in pair.fills.iter().filter(|fill| fill.method != "mean") {
        row.push(filled(fill.method, fill));
        if let Some(sample) = pair.sample.as_ref().filter(|_| fill.method == MODEL) {
            row.push(filled("one sample", sample));
        }
    }
    row.push(cell("truth", String::new(), &pair.example.image, false));
    row
}

/// Positions of red, green and blue among the image's data bands, or of what fed the model.
fn shown_bands(pair: &Pair) -> Vec<usize> {
    let colours = ["R", "G", "B"].map(str::to_owned);
    let info = &pair.example.info;
    let chosen = rgb::choose(info, None, &colours).map(|choice| choice.bands);
    let mut bands = chosen.unwrap_or_else(|_| pair.bands.bands.clone());
    bands.truncate(3);
    crate::commands::restore::positions(&bands, &info.data_bands())
}

fn select(image: &Raster, bands: &[usize]) -> Raster {
    Raster {
        bands: bands.len(),
        height: image.height,
        width: image.width,
        data: bands
            .iter()
            .flat_map(|band| image.band(*band))
            .copied()
            .collect(),
    }
}

/// As large as fits into a square: enlarged by whole pixels, or averaged down.
fn fit(tile: &RgbImage, side: u32) -> RgbImage {
    let longest = tile.width().max(tile.height()).max(1);
    let sized = |of: u32| (u64::from(of) * u64::from(side) / u64::from(longest)).max(1) as u32;
    let (width, height) = (sized(tile.width()), sized(tile.height()));
    let filter = if longest > side {
        FilterType::Triangle
    } else {
        FilterType::Nearest
    };
    let small = imageops::resize(tile, width, height, filter);
    let mut square = RgbImage::from_pixel(side, side, Rgb([255, 255, 255]));
    let (x, y) = ((side - width) / 2, (side - height) / 2);
    imageops::replace(&mut square, &small, x.into(), y.into());
    square
}

/// Draws the picture and writes it as PNG: [`WIDTH_PX`] wide, as high as it has rows.
///
/// # Errors
/// Exit 1 if it cannot be written.
pub fn write(path: &Path, title: &str, figures: &Figures, strip: &Strip) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot write {} ({error})", path.display()))
    };
    let picture = draw(title, figures, strip).map_err(|error| failed(&error))?;
    let file = PendingFile::new(path, true)?;
    picture
        .save_with_format(file.path(), image::ImageFormat::Png)
        .map_err(|error| failed(&error))?;
    file.commit()
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

fn draw(title: &str, figures: &Figures, strip: &Strip) -> Drawn<RgbImage> {
    font::register();
    let size = (WIDTH_PX, HEADER_PX + DIAGRAMS_PX + strip.height_px());
    let mut bytes = vec![255; 3 * (size.0 * size.1) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut bytes, size).into_drawing_area();
        let (top, rest) = area.split_vertically(HEADER_PX);
        text(&top, title, (WIDTH_PX as i32 / 2, 19), 19.0, HPos::Center)?;
        let (diagrams, tiles) = rest.split_vertically(DIAGRAMS_PX);
        let (left, right) = diagrams.split_horizontally(WIDTH_PX / 2);
        calibration(&left, figures)?;
        error_by_spread(&right, figures)?;
        labels(&tiles, strip)?;
        area.present()?;
    }
    let mut picture =
        RgbImage::from_raw(size.0, size.1, bytes).ok_or("a picture without pixels")?;
    let side = tile_px(strip.columns);
    for (r, row) in strip.rows.iter().enumerate() {
        let y = 2 * HEADER_PX + DIAGRAMS_PX + r as u32 * (side + CAPTION_PX);
        for (c, cell) in row.iter().enumerate() {
            let x = GAP_PX + c as u32 * (side + GAP_PX);
            imageops::replace(&mut picture, &cell.tile, x.into(), y.into());
        }
    }
    Ok(picture)
}

fn labels(area: &Area, strip: &Strip) -> Drawn<()> {
    let side = tile_px(strip.columns);
    let middle = |column: usize| {
        let left = GAP_PX + column as u32 * (side + GAP_PX);
        (left + side / 2) as i32
    };
    for (c, cell) in strip.rows.iter().take(1).flatten().enumerate() {
        text(area, &cell.column, (middle(c), 16), 17.0, HPos::Center)?;
    }
    for (r, row) in strip.rows.iter().enumerate() {
        let y = HEADER_PX + (r as u32 + 1) * (side + CAPTION_PX) - CAPTION_PX / 2;
        for (c, cell) in row.iter().enumerate() {
            // A file name may be longer than its tile is wide.
            let most = side as usize / 9;
            let kept: String = cell.caption.chars().take(most).collect();
            text(area, &kept, (middle(c), y as i32), 15.0, HPos::Center)?;
        }
    }
    Ok(())
}

fn text(area: &Area, words: &str, at: (i32, i32), size: f64, anchor: HPos) -> Drawn<()> {
    // Characters that the font does not have would be boxes.
    let words: String = (words.chars())
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    let style = (FAMILY, size).into_font().color(&BLACK);
    let style = style.pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(words, at, style))?;
    Ok(())
}

/// Share of errors inside central intervals over the share that should be inside.
fn calibration(area: &Area, figures: &Figures) -> Drawn<()> {
    let mut chart = ChartBuilder::on(area)
        .caption("Do the intervals hold what they say?", (FAMILY, 18))
        .margin(10)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    let percent = |share: &f64| format!("{:.0} %", 100.0 * share);
    chart
        .configure_mesh()
        .x_desc("nominal share of a central interval")
        .y_desc("observed share")
        .x_label_formatter(&percent)
        .y_label_formatter(&percent)
        .label_style((FAMILY, 14))
        .axis_desc_style((FAMILY, 15))
        .light_line_style(WHITE)
        .bold_line_style(MESH)
        .draw()?;
    let ideal = LineSeries::new([(0.0, 0.0), (1.0, 1.0)], IDEAL.stroke_width(2));
    chart
        .draw_series(ideal)?
        .label("exact")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], IDEAL.stroke_width(2)));
    let points = || figures.calibration.into_iter();
    let line = std::iter::once((0.0, 0.0)).chain(points());
    chart
        .draw_series(LineSeries::new(line, MEASURED.stroke_width(3)))?
        .label(format!(
            "measured: {:.0} % in the 90 % interval",
            100.0 * figures.coverage_90
        ))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], MEASURED.stroke_width(3)));
    chart.draw_series(points().map(|point| Circle::new(point, 4, MEASURED.filled())))?;
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

/// Mean absolute error over the stated standard deviation.
fn error_by_spread(area: &Area, figures: &Figures) -> Drawn<()> {
    let most = |of: fn(&(f64, f64)) -> f64| {
        let largest = figures.by_spread.iter().map(of).fold(0.0, f64::max);
        if largest > 0.0 { 1.08 * largest } else { 1.0 }
    };
    let (right, top) = (most(|p| p.0), most(|p| p.1.max(0.8 * p.0)));
    let mut chart = ChartBuilder::on(area)
        .caption("Are uncertain pixels the wrong ones?", (FAMILY, 18))
        .margin(10)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("stated standard deviation (units of the images)")
        .y_desc("mean absolute error")
        .x_label_formatter(&|value| short(*value, right))
        .y_label_formatter(&|value| short(*value, top))
        .label_style((FAMILY, 14))
        .axis_desc_style((FAMILY, 15))
        .light_line_style(WHITE)
        .bold_line_style(MESH)
        .draw()?;
    // Mean absolute deviation of a normal distribution: sqrt(2 / pi) standard deviations.
    let slope = std::f64::consts::FRAC_2_PI.sqrt();
    let end = right.min(top / slope);
    let ideal = LineSeries::new([(0.0, 0.0), (end, slope * end)], IDEAL.stroke_width(2));
    chart
        .draw_series(ideal)?
        .label("exact, for normal errors")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], IDEAL.stroke_width(2)));
    let points = || figures.by_spread.iter().copied();
    chart
        .draw_series(LineSeries::new(points(), MEASURED.stroke_width(3)))?
        .label(format!(
            "tenths of the pixels (rank correlation {:.2})",
            figures.spearman
        ))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], MEASURED.stroke_width(3)));
    chart.draw_series(points().map(|point| Circle::new(point, 4, MEASURED.filled())))?;
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

/// As many digits as tell the ticks of an axis up to `largest` apart.
fn short(value: f64, largest: f64) -> String {
    let digits = (1.0 - largest.log10()).ceil().clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

type Chart<'a, 'b> = ChartContext<
    'a,
    BitMapBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn legend<'a>(chart: &mut Chart<'a, 'a>, position: SeriesLabelPosition) -> Drawn<()> {
    chart
        .configure_series_labels()
        .position(position)
        .margin(12)
        .label_font((FAMILY, 14))
        .background_style(WHITE)
        .border_style(IDEAL)
        .draw()?;
    Ok(())
}
