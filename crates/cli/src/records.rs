//! Splits CSV into records and knows in which row of a spreadsheet each of them stands.
//!
//! An ordinary CSV reader skips empty lines and doesn't say so, and cells may hold line breaks; either makes the number
//! of a record differ from the number that a spreadsheet shows beside it. People look rows up by that number, so it is
//! counted here. The splitting itself, quotes and all, is that of [`csv_core`].

use std::io::{self, BufRead};

use csv_core::ReadRecordResult;

/// The most bytes that one row may have. A payment with all its allocations is far below; what is above is a quotation
/// mark that is never closed, and the rest of the file would be read into memory as one cell.
pub(crate) const MAX_ROW_BYTES: u64 = 16 * 1024 * 1024;

/// What ends the reading: where the next row begins is unknown after it.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The input can't be read.
    Io(io::Error),
    /// The row is longer than [`MAX_ROW_BYTES`].
    TooLong,
    /// A cell begins with a quotation mark, and the input ends before the cell does.
    Unclosed,
}

/// The records of a CSV input, one after the other.
pub(crate) struct Records<R> {
    input: R,
    parser: csv_core::Reader,
    /// The row that was read last, as a spreadsheet counts: from 1, empty lines included.
    row: u64,
    /// How many bytes of the input are used up.
    position: u64,
    /// The last byte was a carriage return: a line feed after it belongs to the same line end.
    after_carriage_return: bool,
    /// The cells of the last record, one behind the other.
    text: Vec<u8>,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            parser: csv_core::Reader::new(),
            row: 0,
            position: 0,
            after_carriage_return: false,
            text: vec![0; 1024],
            ends: vec![0; 32],
        }
    }

    /// The row that was read last, or that couldn't be read.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// How many bytes of the input are used up.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The cells of the next record, or `None` at the end of the input.
    pub(crate) fn next(&mut self) -> Result<Option<Cells<'_>>, Broken> {
        if !self.skip_empty_lines()? {
            return Ok(None);
        }
        self.row += 1;
        let start = self.position;
        let (mut text_len, mut ends_len) = (0, 0);
        let mut closed = false;
        loop {
            let input = fill(&mut self.input).map_err(Broken::Io)?;
            let at_end = input.is_empty();
            if at_end && closed {
                // Not even a line break could end the record, so it is one inside of a quoted cell.
                return Err(Broken::Unclosed);
            }
            // The last line of a file may lack its line break.
            let input = if at_end { b"\n" } else { input };
            let (result, read, written, ended) = self.parser.read_record(
                input,
                &mut self.text[text_len..],
                &mut self.ends[ends_len..],
            );
            text_len += written;
            ends_len += ended;
            if at_end {
                closed = read > 0;
            } else if read > 0 {
                self.after_carriage_return = input[read - 1] == b'\r';
                self.input.consume(read);
                self.position += read as u64;
            }
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    return Ok(Some(Cells {
                        row: self.row,
                        text: &self.text,
                        ends: &self.ends[..ends_len],
                    }));
                }
                // The parser says so only for an input that ends before a record begins; one has begun.
                ReadRecordResult::End => return Ok(None),
            }
            if self.position - start > MAX_ROW_BYTES {
                return Err(Broken::TooLong);
            }
        }
    }

    /// Goes to the next line that holds anything, counting those passed. False at the end of the input.
    fn skip_empty_lines(&mut self) -> Result<bool, Broken> {
        loop {
            match fill(&mut self.input).map_err(Broken::Io)?.first() {
                None => return Ok(false),
                Some(b'\n') => {
                    if !self.after_carriage_return {
                        self.row += 1;
                    }
                    self.after_carriage_return = false;
                }
                Some(b'\r') => {
                    self.row += 1;
                    self.after_carriage_return = true;
                }
                Some(_) => return Ok(true),
            }
            self.input.consume(1);
            self.position += 1;
        }
    }
}

/// What is in the buffer, after reading if there is nothing. A signal that interrupts the reading is no error.
pub(crate) fn fill(input: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // A second call, because the borrow checker can't yet see that the first one's result isn't used in a loop. It
    // finds the buffer filled and costs nothing; at the end of the input it says so again.
    input.fill_buf()
}

/// The cells of one record.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'a> {
    row: u64,
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Cells<'a> {
    /// The number of the row that they stand in.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of each cell, without the quotes around it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (text, ends) = (self.text, self.ends);
        (0..ends.len()).map(move |index| {
            let start = if index == 0 { 0 } else { ends[index - 1] };
            &text[start..ends[index]]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Result<Vec<(u64, Vec<String>)>, Broken> {
        // Buffers of different sizes break the input at different places.
        let mut all: Option<Vec<(u64, Vec<String>)>> = None;
        for capacity in [1, 2, 3, 7, 8192] {
            let mut records = Records::new(io::BufReader::with_capacity(capacity, text.as_bytes()));
            let mut found = Vec::new();
            while let Some(cells) = records.next()? {
                let texts = cells
                    .iter()
                    .map(|cell| String::from_utf8_lossy(cell).into_owned());
                found.push((cells.row(), texts.collect()));
            }
            assert_eq!(records.position(), text.len() as u64);
            if let Some(all) = &all {
                assert_eq!(*all, found, "with a buffer of {capacity} bytes");
            }
            all = Some(found);
        }
        Ok(all.unwrap())
    }

    fn row(number: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (number, cells.iter().map(|&cell| cell.to_owned()).collect())
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_does() {
        let expected = [
            row(1, &["a", "b"]),
            row(2, &["1\n2\n\n3", ""]),
            row(5, &["4", "5"]),
            row(6, &["6"]),
        ];
        assert_eq!(
            records("a,b\n\"1\n2\n\n3\",\n\n\n4,5\n6").unwrap(),
            expected
        );

        let expected = [
            row(1, &["a", "b"]),
            row(2, &["1\r\n2", ""]),
            row(5, &["4", "5"]),
            row(6, &["6"]),
        ];
        assert_eq!(
            records("a,b\r\n\"1\r\n2\",\r\n\r\n\r\n4,5\r\n6\r\n\r\n").unwrap(),
            expected
        );

        let expected = [row(3, &["a"]), row(5, &["b"])];
        assert_eq!(records("\r\ra\r\rb\r").unwrap(), expected);
        assert_eq!(records("\n\r\na\n\r\nb").unwrap(), expected);
    }

    #[test]
    fn cells_may_hold_anything() {
        let expected = [row(1, &["say \"hi\"", "a,b", " c ", ""])];
        assert_eq!(
            records("\"say \"\"hi\"\"\",\"a,b\", c ,\n").unwrap(),
            expected
        );
        // A quotation mark inside of a cell that isn't quoted is a character as any other.
        assert_eq!(records("5\" pipe,x").unwrap(), [row(1, &["5\" pipe", "x"])]);
        let wide = vec!["x"; 100].join(",");
        assert_eq!(records(&wide).unwrap(), [row(1, &["x"; 100])]);
        let long = "y".repeat(5_000);
        assert_eq!(records(&long).unwrap(), [row(1, &[&long])]);
    }

    #[test]
    fn nothing_is_no_record() {
        assert_eq!(records("").unwrap(), []);
        assert_eq!(records("\n\r\n\n").unwrap(), []);
        assert_eq!(records("\"\"").unwrap(), [row(1, &[""])]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found_at_the_end() {
        let mut records = Records::new("a,b\n1,\"two\n3,4\n".as_bytes());
        assert!(records.next().unwrap().is_some());
        assert!(matches!(records.next(), Err(Broken::Unclosed)));
        assert_eq!(records.row(), 2);
    }

    #[test]
    fn a_row_without_end_is_given_up() {
        let mut records = Records::new(io::BufReader::new(io::repeat(b'x')));
        assert!(matches!(records.next(), Err(Broken::TooLong)));
    }
}
