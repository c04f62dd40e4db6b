//! The tables of docs/scale.md, between two marks of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::{Cost, Dimension, Growth};

/// The marks.
const BEGIN: &str = "<!-- measured by make bench-scale -->\n";
const END: &str = "<!-- end of what was measured -->";
/// For how many nodes costs are drawn on.
const AHEAD: f64 = 100_000.0;

/// Puts the tables into the page.
pub(crate) fn write(all: &[Growth]) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale.md");
    let page = fs::read_to_string(&path)?;
    let (before, rest) =
        page.split_once(BEGIN).context("docs/scale.md has no mark for tables to begin at")?;
    let (_, after) = rest.split_once(END).context("docs/scale.md has no mark for tables to end at")?;
    let tables: String = all.iter().map(table).collect();
    fs::write(path, format!("{before}{BEGIN}\n{tables}{END}{after}"))?;
    Ok(())
}

/// One dimension.
pub(crate) fn table(growth: &Growth) -> String {
    let Growth { dimension, beside, sizes, costs } = growth;
    let ahead = *dimension == Dimension::Everything;
    let heads: String = sizes.iter().map(|size| format!(" {} |", grouped(*size))).collect();
    let columns = sizes.len() + 2 + usize::from(ahead);
    let mut out = format!(
        "### More {}: {beside}\n\n| |{heads} grows as |{}\n|{}\n",
        dimension.words(),
        if ahead { " at 100,000 |" } else { "" },
        "---|".repeat(columns)
    );
    for cost in costs {
        let fit = Fit::of(sizes, cost);
        let said = |of: fn(Fit) -> String| fit.map_or_else(|| "-".to_owned(), of);
        let values: String = cost.values.iter().map(|value| format!(" {} |", short(*value))).collect();
        let drawn = if ahead { format!(" {} |", said(|fit| short(fit.at(AHEAD)))) } else { String::new() };
        out += &format!("| {} |{values} {} |{drawn}\n", cost.name, said(Fit::print));
    }
    out.push('\n');
    out
}

/// `factor · n^exponent`, by least squares of the logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fit {
    factor: f64,
    exponent: f64,
}

impl Fit {
    /// None where something is not greater than nothing.
    fn of(sizes: &[usize], cost: &Cost) -> Option<Self> {
        let points = sizes.iter().zip(&cost.values);
        let points: Vec<(f64, f64)> = points.map(|(n, value)| ((*n as f64).ln(), value.ln())).collect();
        let count = points.len() as f64;
        let sum = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
        let (x, y, xx, xy) = (sum(|it| it.0), sum(|it| it.1), sum(|it| it.0 * it.0), sum(|it| it.0 * it.1));
        let exponent = (count * xy - x * y) / (count * xx - x * x);
        let factor = ((y - exponent * x) / count).exp();
        (exponent.is_finite() && factor.is_finite()).then_some(Self { factor, exponent })
    }

    fn at(self, size: f64) -> f64 {
        self.factor * size.powf(self.exponent)
    }

    fn print(self) -> String {
        match self.exponent {
            flat if flat.abs() < 0.05 => "constant".to_owned(),
            exponent => format!("n^{exponent:.2}"),
        }
    }
}

/// With three digits that mean something.
fn short(value: f64) -> String {
    match value {
        large if large >= 100.0 => grouped(large.round() as usize),
        middling if middling >= 10.0 => format!("{middling:.0}"),
        small if small >= 1.0 => format!("{small:.1}"),
        tiny => format!("{tiny:.2}"),
    }
}

/// With commas.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let (first, rest) = digits.split_at(head);
    let parts = rest.as_bytes().chunks(3).map(|part| String::from_utf8_lossy(part).into_owned());
    let parts: Vec<String> =
        [first.to_owned()].into_iter().filter(|it| !it.is_empty()).chain(parts).collect();
    parts.join(",")
}
