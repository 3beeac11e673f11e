//! A call record, as the gateway wrote it.

use serde_json::Value;

/// One line of the records file.
#[derive(Clone, Debug)]
pub struct Record(pub Value);

impl Record {
    /// Reads a line.
    ///
    /// # Panics
    /// It is no JSON.
    pub fn read(line: &str) -> Self {
        Self(
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a record is JSON: {error} in {line}")),
        )
    }

    /// The code of the cause.
    pub fn code(&self) -> &str {
        self.text("/cause/code")
    }

    /// The cause in words.
    pub fn words(&self) -> &str {
        self.text("/cause/text")
    }

    /// Text at a JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number at a JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<f64> {
        self.0.pointer(pointer).and_then(Value::as_f64)
    }

    /// When a step of the timeline that begins like this was first taken, in milliseconds.
    pub fn step(&self, beginning: &str) -> Option<u64> {
        let entries = self.0.get("timeline")?.as_array()?;
        let begins = |entry: &&Value| {
            entry["text"]
                .as_str()
                .is_some_and(|text| text.starts_with(beginning))
        };
        entries.iter().find(begins)?["ms"].as_u64()
    }

    /// The steps, a line each.
    pub fn story(&self) -> String {
        let entries = self.0.get("timeline").and_then(Value::as_array);
        let line = |entry: &Value| {
            format!(
                "{:>6} ms  {}\n",
                entry["ms"],
                entry["text"].as_str().unwrap_or_default()
            )
        };
        entries.into_iter().flatten().map(line).collect()
    }

    /// Asserts the cause, by its code and who ended the call, and that the telephone's leg was over
    /// within a second of the call's end.
    #[track_caller]
    pub fn assert_ended(&self, code: &str, by: &str) {
        assert_eq!(
            (self.code(), self.text("/ended_by")),
            (code, by),
            "{}\n{}",
            self.words(),
            self.story()
        );
        if self.step("the INVITE is out").is_none() {
            return;
        }
        let ended = self.0["ended_ms"].as_u64().expect("ended_ms");
        let over = self
            .step("the dialog ended")
            .or_else(|| self.step("the INVITE failed"));
        let over =
            over.unwrap_or_else(|| panic!("the telephone's leg did not end:\n{}", self.story()));
        assert!(
            over <= ended + 1000,
            "the telephone's leg ended {} ms after the call:\n{}",
            over - ended,
            self.story()
        );
    }
}
