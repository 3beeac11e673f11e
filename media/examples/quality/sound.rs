//! WAV files of 8 kHz mono.

use std::path::Path;

/// Reads a file.
///
/// # Errors
/// It cannot be read, or is not 8 kHz mono of 16 bits.
pub(crate) fn read(path: &Path) -> Result<Vec<i16>, Box<dyn std::error::Error>> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    if spec.sample_rate != codecs::SAMPLE_RATE || spec.channels != 1 || spec.bits_per_sample != 16 {
        return Err(format!("{}: not 8 kHz mono of 16 bits: {spec:?}", path.display()).into());
    }
    Ok(reader.samples().collect::<Result<_, _>>()?)
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, pcm: &[i16]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: codecs::SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for sample in pcm {
        writer.write_sample(*sample)?;
    }
    writer.finalize()
}
