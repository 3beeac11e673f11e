//! `[stir]`: whose signatures of calls are believed.

use super::Stir;
use super::mistakes::Wrong;
use super::read::Reader;
use super::value;
use crate::stir::certificate::Roots;

pub(super) fn read(reader: &mut Reader) -> Stir {
    let roots = reader.read("stir", "roots", None, |raw| {
        let Some(path) = value::readable_file(raw)? else {
            return Ok(None);
        };
        let wrong = |problem: String| {
            let advice = "write the path of a PEM file with the certificates of the authorities";
            Wrong::new(format!("{} {problem}", path.display()), advice)
        };
        let pem = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        let roots = Roots::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(roots))
    });
    let allow = reader.read_list("stir", "allow", Vec::new(), value::network);
    Stir { roots, allow }
}
