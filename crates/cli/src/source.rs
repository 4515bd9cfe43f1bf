//! Where payments are read from: a file or standard input, and in which format they stand there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::de::IgnoredAny;

use crate::records::MAX_ROW_BYTES;
use crate::rows::Format;

/// How many bytes are read at a time.
const READ_AHEAD: usize = 256 * 1024;

/// An input that is open.
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) name: String,
    /// The size, where it's known beforehand.
    pub(crate) bytes: Option<u64>,
    pub(crate) input: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens a file, or for `-` standard input.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self {
                name: "standard input".to_owned(),
                bytes: None,
                input: Box::new(BufReader::with_capacity(READ_AHEAD, io::stdin())),
            });
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("opening {name}"))?;
        let metadata = file.metadata().with_context(|| format!("opening {name}"))?;
        if metadata.is_dir() {
            bail!("{name} is a folder; name a file in it");
        }
        Ok(Self {
            name,
            // A pipe or device with a name has no size.
            bytes: metadata.is_file().then_some(metadata.len()),
            input: Box::new(BufReader::with_capacity(READ_AHEAD, file)),
        })
    }

    /// Finds out by the beginning of the input which format it has, and puts that beginning back.
    ///
    /// A list is JSON. So is an object, unless its line is complete and another follows: then each line is one.
    /// Everything else is taken for CSV, whose header then proves it or says what it should be.
    ///
    /// # Errors
    ///
    /// Where the input can't be read or is empty.
    pub(crate) fn sniff(mut self) -> anyhow::Result<(Self, Format)> {
        let mut head = Vec::new();
        let first = self.read_line(&mut head)?;
        let text = head[first..]
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&head[first..])
            .trim_ascii();
        let format = match text.first() {
            None => bail!("{}: there is nothing in it", self.name),
            Some(b'{') if serde_json::from_slice::<IgnoredAny>(text).is_ok() => {
                let second = self.read_line(&mut head)?;
                if head[second..].is_empty() {
                    Format::Json
                } else {
                    Format::JsonLines
                }
            }
            Some(b'{' | b'[') => Format::Json,
            Some(_) => Format::Csv,
        };
        self.input = Box::new(Cursor::new(head).chain(self.input));
        Ok((self, format))
    }

    /// Appends the next line that isn't blank, and the blank ones before it. Gives where it begins; at the end of the
    /// input nothing is there.
    fn read_line(&mut self, text: &mut Vec<u8>) -> anyhow::Result<usize> {
        loop {
            let start = text.len();
            let read = self
                .input
                .by_ref()
                .take(MAX_ROW_BYTES)
                .read_until(b'\n', text)
                .with_context(|| format!("reading {}", self.name))?;
            if read == 0 || !text[start..].iter().all(u8::is_ascii_whitespace) {
                return Ok(start);
            }
        }
    }
}

/// The format that a file's name tells.
pub(crate) fn format_of_name(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_lowercase();
    match extension.as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::JsonLines),
        "json" => Some(Format::Json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(text: &str) -> anyhow::Result<Format> {
        let source = Source {
            name: "standard input".to_owned(),
            bytes: None,
            // A small buffer, so that lines are put together.
            input: Box::new(BufReader::with_capacity(
                3,
                Cursor::new(text.as_bytes().to_vec()),
            )),
        };
        let (mut source, format) = source.sniff()?;
        let mut again = String::new();
        source.input.read_to_string(&mut again)?;
        assert_eq!(again, text, "what was looked at is still there");
        Ok(format)
    }

    #[test]
    fn the_beginning_tells_the_format() {
        for (text, format) in [
            ("paid_at,method,amount\n", Format::Csv),
            ("\"paid_at\",method", Format::Csv),
            ("[]", Format::Json),
            ("\n \r\n [\n{}\n]\n", Format::Json),
            ("{\"amount\": 1}", Format::Json),
            ("{\"amount\": 1}\n\n \n", Format::Json),
            ("{\n\"amount\": 1}\n", Format::Json),
            ("{\"amount\": 1}\n{\"amount\": 2}\n", Format::JsonLines),
            ("\n{\"amount\": 1}\n\n{\"amo", Format::JsonLines),
            ("\u{feff}{\"amount\": 1}\n{}", Format::JsonLines),
            ("\u{feff}[{}]", Format::Json),
            // Not even the first line is JSON, so that there are no lines of JSON.
            ("{\"amount\": }\n{}", Format::Json),
        ] {
            assert_eq!(sniffed(text).unwrap(), format, "{text:?}");
        }
        for text in ["", "\n", " \r\n\n"] {
            let error = sniffed(text).unwrap_err().to_string();
            assert_eq!(error, "standard input: there is nothing in it");
        }
    }

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("a.csv", Some(Format::Csv)),
            ("a.b.CSV", Some(Format::Csv)),
            ("a.jsonl", Some(Format::JsonLines)),
            ("a.ndjson", Some(Format::JsonLines)),
            ("a.json", Some(Format::Json)),
            ("-", None),
            ("csv", None),
            ("a.txt", None),
        ] {
            assert_eq!(format_of_name(Path::new(name)), format, "{name}");
        }
    }
}
