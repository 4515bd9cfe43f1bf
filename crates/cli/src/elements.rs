//! Splits a JSON document into its payments, so that a list which doesn't fit into memory can be read one by one.
//!
//! Only the list around the payments is understood here. Where a payment ends is told by brackets and quotation marks
//! alone; whether what stands between them is JSON is for the reader of the payment to find out, who asks
//! [`Elements::malformed`] for the place if it isn't.

use std::fmt;
use std::io::BufRead;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::records::{MAX_ROW_BYTES, fill};

/// What ends the reading of a document.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The input can't be read.
    Io(std::io::Error),
    /// A payment is longer than [`MAX_ROW_BYTES`].
    TooLong(Place),
    /// The document isn't JSON.
    Malformed(Malformed),
}

/// Why a document isn't JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Where that was found.
    pub(crate) place: Place,
    /// What is wrong there, as the end of a sentence.
    pub(crate) what: String,
}

/// A place in a text, as editors show it: both numbers start at 1. Columns count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: u64,
    column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// How far a document is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The document is one value, which comes next.
    Whole,
    /// The first element comes next, or the list's end.
    First,
    /// A comma and an element come next, or the list's end.
    Further,
    /// Nothing comes any more.
    End,
}

/// The payments of a JSON document: the elements of a list, or the one value that the document is.
pub(crate) struct Elements<R> {
    input: R,
    state: State,
    is_list: bool,
    /// How many bytes of the input are used up.
    position: u64,
    /// The line of the next byte, from 1.
    line: u64,
    /// The position of that line's first byte.
    line_start: u64,
    /// The value that was read last.
    text: Vec<u8>,
    /// Where it begins.
    start: Place,
}

impl<R: BufRead> Elements<R> {
    /// Reads as far as is needed to know whether the document is a list.
    pub(crate) fn new(input: R) -> Result<Self, Broken> {
        let mut elements = Self {
            input,
            state: State::Whole,
            is_list: false,
            position: 0,
            line: 1,
            line_start: 0,
            text: Vec::new(),
            start: Place { line: 1, column: 1 },
        };
        match elements.peek()? {
            None => return Err(elements.unexpected("there is nothing in it")),
            Some(b'[') => {
                elements.skip(1);
                elements.is_list = true;
                elements.state = State::First;
            }
            Some(_) => {}
        }
        Ok(elements)
    }

    /// Whether the document is a list, and not one value.
    pub(crate) fn is_list(&self) -> bool {
        self.is_list
    }

    /// How many bytes of the input are used up.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next element. False after the last.
    pub(crate) fn next(&mut self) -> Result<bool, Broken> {
        match (self.state, self.peek()?) {
            (State::End, _) => return Ok(false),
            (State::Whole, _) => {
                self.read_value()?;
                self.state = State::End;
                // Before the value is judged: if lines of JSON were taken for one document, the first says nothing.
                if self.peek()?.is_some() {
                    return Err(self.unexpected(
                        "there is more after the value; if each line holds a payment, give --format jsonl",
                    ));
                }
                return Ok(true);
            }
            (State::First | State::Further, Some(b']')) => {
                self.skip(1);
                self.state = State::End;
                return match self.peek()? {
                    None => Ok(false),
                    Some(_) => Err(self.unexpected("there is more after the list's end")),
                };
            }
            (State::First, Some(_)) => {}
            (State::Further, Some(b',')) => {
                self.skip(1);
                if self.peek()? == Some(b']') {
                    return Err(
                        self.unexpected("a payment should follow the comma, not the list's end")
                    );
                }
            }
            (State::Further, Some(_)) => {
                return Err(self.unexpected("a comma or the list's end should stand here"));
            }
            (State::First | State::Further, None) => {}
        }
        if self.peek()?.is_none() {
            return Err(self.unexpected("the list has no end"));
        }
        self.read_value()?;
        self.state = State::Further;
        Ok(true)
    }

    /// The text of the value that was read last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Why that text isn't JSON. `None` if it is.
    pub(crate) fn malformed(&self) -> Option<Malformed> {
        // Passing over a value lets through what reading it doesn't: half of a surrogate pair, endless nesting.
        let error = serde_json::from_slice::<Value>(&self.text).err()?;
        Some(self.located(&error))
    }

    /// An error in the text that was read last, by its place in the document.
    fn located(&self, error: &serde_json::Error) -> Malformed {
        let (line, column) = (error.line() as u64, error.column().max(1) as u64);
        let place = match line {
            0 | 1 => Place {
                line: self.start.line,
                column: self.start.column + column - 1,
            },
            _ => Place {
                line: self.start.line + line - 1,
                column,
            },
        };
        let what = if error.is_eof() {
            "the text ends here, and something that was opened isn't closed".to_owned()
        } else {
            match without_position(error).as_str() {
                "recursion limit exceeded" => {
                    "it is nested deeper than the 127 levels that are read; make it flatter"
                        .to_owned()
                }
                "number out of range" => {
                    "the number fits into no 64-bit floating-point number; send it as a text"
                        .to_owned()
                }
                fault => fault.to_owned(),
            }
        };
        Malformed { place, what }
    }

    /// Where the value begins that was read last.
    pub(crate) fn start(&self) -> Place {
        self.start
    }

    fn here(&self) -> Place {
        Place {
            line: self.line,
            column: self.position - self.line_start + 1,
        }
    }

    fn unexpected(&self, what: &str) -> Broken {
        Broken::Malformed(Malformed {
            place: self.here(),
            what: what.to_owned(),
        })
    }

    /// The next byte that isn't blank, which is left where it is. `None` at the end of the input.
    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let input = fill(&mut self.input).map_err(Broken::Io)?;
            if input.is_empty() {
                return Ok(None);
            }
            let blanks = input
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
                .count();
            let found = input.get(blanks).copied();
            self.skip(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Uses up bytes that are in the buffer.
    fn skip(&mut self, count: usize) {
        // They are in the buffer, so this reads nothing and can't fail.
        let input = self.input.fill_buf().unwrap_or_default();
        for (index, byte) in input.iter().take(count).enumerate() {
            if *byte == b'\n' {
                self.line += 1;
                self.line_start = self.position + index as u64 + 1;
            }
        }
        self.input.consume(count);
        self.position += count as u64;
    }

    /// Reads the value that begins here. At the end of the input it is cut short, which its reader finds out.
    fn read_value(&mut self) -> Result<(), Broken> {
        self.text.clear();
        self.start = self.here();
        let mut extent = Extent::default();
        loop {
            let input = fill(&mut self.input).map_err(Broken::Io)?;
            if input.is_empty() {
                return Ok(());
            }
            let (count, ended) = extent.advance(input);
            self.text.extend_from_slice(&input[..count]);
            self.skip(count);
            if ended && self.text.is_empty() {
                return Err(self.unexpected("a value should stand here"));
            }
            if ended {
                return Ok(());
            }
            if self.text.len() as u64 > MAX_ROW_BYTES {
                // A quotation mark or a bracket that is never closed makes one payment of the rest of the document.
                return Err(match serde_json::from_slice::<IgnoredAny>(&self.text) {
                    Err(error) if !error.is_eof() => Broken::Malformed(self.located(&error)),
                    _ => Broken::TooLong(self.start),
                });
            }
        }
    }
}

/// How far a value reaches, found out byte by byte.
#[derive(Default)]
struct Extent {
    /// How many brackets are open.
    depth: u64,
    in_text: bool,
    /// The byte before was a backslash in a text.
    escaped: bool,
}

impl Extent {
    /// Takes bytes up to the value's end. Gives how many these are, and whether the end is among them.
    fn advance(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (index, byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_text = false;
                        if self.depth == 0 {
                            return (index + 1, true);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == 0 => return (index, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (index + 1, true);
                    }
                }
                b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return (index, true),
                _ => {}
            }
        }
        (bytes.len(), false)
    }
}

/// A JSON error without the position within the text that was parsed.
pub(crate) fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Read as _};

    use super::*;

    /// The values of a document, each with its place, and why there are no more if that isn't because of its end.
    fn elements(text: &str) -> (Vec<(String, String)>, Option<String>) {
        let mut all: Option<(Vec<_>, Option<String>)> = None;
        // Buffers of different sizes break the input at different places.
        for capacity in [1, 2, 3, 7, 8192] {
            let mut found = Vec::new();
            let broken = match Elements::new(BufReader::with_capacity(capacity, text.as_bytes())) {
                Ok(mut elements) => loop {
                    match elements.next() {
                        Ok(true) => {
                            let value = String::from_utf8(elements.text().to_vec()).unwrap();
                            found.push((elements.start().to_string(), value));
                        }
                        Ok(false) => {
                            assert_eq!(elements.position(), text.len() as u64);
                            assert!(!elements.next().unwrap(), "the end stays the end");
                            break None;
                        }
                        Err(broken) => break Some(broken),
                    }
                },
                Err(broken) => Some(broken),
            };
            let broken = broken.map(|broken| match broken {
                Broken::Malformed(malformed) => {
                    format!("{}: {}", malformed.place, malformed.what)
                }
                broken => panic!("{broken:?}"),
            });
            let found = (found, broken);
            if let Some(all) = &all {
                assert_eq!(*all, found, "with a buffer of {capacity} bytes");
            }
            all = Some(found);
        }
        all.unwrap()
    }

    fn values(text: &str) -> Vec<String> {
        let (values, broken) = elements(text);
        assert_eq!(broken, None, "{text}");
        values.into_iter().map(|(_, value)| value).collect()
    }

    fn broken(text: &str) -> String {
        elements(text).1.unwrap()
    }

    #[test]
    fn a_list_is_taken_apart() {
        assert_eq!(values("[]"), [""; 0]);
        assert_eq!(values(" \n[ \r\n\t]\n"), [""; 0]);
        assert_eq!(
            values(r#"[{"a": [1, {}], "b": "]}"}, {} ,[], 1.5,-2 , "x,y" , "\\" , "\"]", null]"#),
            [
                r#"{"a": [1, {}], "b": "]}"}"#,
                "{}",
                "[]",
                "1.5",
                "-2",
                r#""x,y""#,
                r#""\\""#,
                r#""\"]""#,
                "null"
            ]
        );
        // What brackets can't tell is left to whoever reads the value.
        assert_eq!(values("[{\"a\": ], nonsense]"), ["{\"a\": ]", "nonsense"]);
    }

    #[test]
    fn another_value_is_one_value() {
        assert_eq!(values("\n {\"a\": [1]}\n\n"), ["{\"a\": [1]}"]);
        assert_eq!(values("1"), ["1"]);
        assert_eq!(values("\"[\""), ["\"[\""]);
        // Cut short, which its reader will find out.
        assert_eq!(values("{\"a\": [1"), ["{\"a\": [1"]);
    }

    #[test]
    fn places_are_those_of_the_document() {
        let (values, _) = elements("[\n  {\n  },\n\n  {}, {}\n]\n");
        let places: Vec<_> = values.into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            places,
            ["line 2, column 3", "line 5, column 3", "line 5, column 7"]
        );
    }

    #[test]
    fn what_is_wrong_with_the_list_is_told_with_its_place() {
        assert_eq!(broken(""), "line 1, column 1: there is nothing in it");
        assert_eq!(broken("\n \n"), "line 3, column 1: there is nothing in it");
        assert_eq!(broken("["), "line 1, column 2: the list has no end");
        assert_eq!(broken("[\n1,\n"), "line 3, column 1: the list has no end");
        assert_eq!(broken("[1"), "line 1, column 3: the list has no end");
        assert_eq!(
            broken("[1 2]"),
            "line 1, column 4: a comma or the list's end should stand here"
        );
        assert_eq!(
            broken("[{}\n{}]"),
            "line 2, column 1: a comma or the list's end should stand here"
        );
        assert_eq!(
            broken("[1,\n]"),
            "line 2, column 1: a payment should follow the comma, not the list's end"
        );
        assert_eq!(
            broken("[,1]"),
            "line 1, column 2: a value should stand here"
        );
        assert_eq!(
            broken("[1,,1]"),
            "line 1, column 4: a value should stand here"
        );
        assert_eq!(broken("}"), "line 1, column 1: a value should stand here");
        assert_eq!(
            broken("[] []"),
            "line 1, column 4: there is more after the list's end"
        );
        assert_eq!(
            broken("{}\n{}\n"),
            "line 2, column 1: there is more after the value; if each line holds a payment, give --format jsonl"
        );
        assert_eq!(
            broken("paid_at,method"),
            "line 1, column 8: there is more after the value; if each line holds a payment, give --format jsonl"
        );
    }

    #[test]
    fn a_fault_in_a_value_is_told_by_its_place_in_the_document() {
        let malformed = |text: &str| {
            let mut elements = Elements::new(text.as_bytes()).unwrap();
            while elements.next().unwrap() {
                if let Some(malformed) = elements.malformed() {
                    return format!("{}: {}", malformed.place, malformed.what);
                }
            }
            panic!("{text} is JSON");
        };
        assert_eq!(
            malformed("[{},\n {\"a\": x}]"),
            "line 2, column 8: expected value"
        );
        assert_eq!(
            malformed("[{},\n {\n\"a\": x}]"),
            "line 3, column 6: expected value"
        );
        assert_eq!(
            malformed("{\"a\": [1"),
            "line 1, column 8: the text ends here, and something that was opened isn't closed"
        );
        // A quotation mark that isn't closed is found where its line ends.
        let unclosed = malformed("[{\"a\": \"b},\n{\"a\": \"b\"}]");
        assert!(
            unclosed.starts_with("line 2, column 1: control character"),
            "{unclosed}"
        );
        assert_eq!(
            malformed("[{},\n\"\\ud800\"]"),
            "line 2, column 8: unexpected end of hex escape"
        );
        // What JSON knows and no reader takes.
        assert_eq!(
            malformed(&"[".repeat(200)),
            "line 1, column 129: it is nested deeper than the 127 levels that are read; make it flatter"
        );
        assert_eq!(
            malformed("{\"a\": 1e400}"),
            "line 1, column 11: the number fits into no 64-bit floating-point number; send it as a text"
        );
    }

    #[test]
    fn a_value_without_end_is_given_up() {
        let unclosed = b"[{\"memo\": \"x, \n".chain(io::repeat(b'x'));
        let mut elements = Elements::new(BufReader::new(unclosed)).unwrap();
        match elements.next() {
            Err(Broken::Malformed(malformed)) => {
                assert_eq!(malformed.place.to_string(), "line 1, column 14");
            }
            _ => panic!("a text doesn't go on in the next line"),
        }

        let endless = b"[{\"memo\": \"".chain(io::repeat(b'x'));
        let mut elements = Elements::new(BufReader::new(endless)).unwrap();
        match elements.next() {
            Err(Broken::TooLong(place)) => assert_eq!(place.to_string(), "line 1, column 2"),
            _ => panic!("16 MiB should be enough"),
        }
    }
}
