//! Repository checks: layers, file lengths, words.
