//! The descriptions of `testdata/`.

use std::{fs, path::Path};

/// Every description of a folder of `testdata/`, with its name.
pub(crate) fn samples(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let mut samples: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a text");
            (
                path.file_name()
                    .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
                text,
            )
        })
        .collect();
    samples.sort();
    assert!(samples.len() >= 10, "the samples are there");
    samples
}
