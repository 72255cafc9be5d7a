//! One broken rule at one place.

use core::fmt;

/// A place that breaks a rule, in the form editors can jump to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path relative to the repository root.
    pub file: String,
    /// Line number, counted from 1; 0 when the finding is about the file as a whole.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub text: String,
}

impl Finding {
    /// A finding at a line, counted from 1.
    pub fn at(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, text: text.into() }
    }

    /// A finding about a whole file.
    pub fn whole(file: &str, text: impl Into<String>) -> Self {
        Self::at(file, 0, text)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.text)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.text)
        }
    }
}
