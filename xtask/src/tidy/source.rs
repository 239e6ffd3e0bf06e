//! The files that tidy reads, and a Rust file cut into code, comments and tests.
//!
//! This is a lexer, not a parser: enough to tell a word in the code from the same word in a string
//! or a comment, and a line that only tests compile from one that ships.

use std::{fs, io, path::Path};

/// Folders that hold what tools made.
const MADE_BY_TOOLS: [&str; 9] = [
    ".git",
    "target",
    "corpus",
    "artifacts",
    "__pycache__",
    ".pytest_cache",
    "node_modules",
    "swarmmq-data",
    "venv",
];

/// A larger file is data, not text that somebody wrote.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

/// One line, cut. For a file that is not Rust, `code` is the text and `comment` is empty.
#[derive(Debug, Default)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Without comments, and with empty strings.
    pub(crate) code: String,
    pub(crate) comment: String,
    /// Only tests compile it.
    pub(crate) in_test: bool,
}

impl Source {
    /// Cuts `text`; a path that ends in `.rs` is Rust.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut lines = if path.ends_with(".rs") { cut_rust(text) } else { cut_plain(text) };
        let whole = is_test_path(path);
        if !whole {
            mark_tests(&mut lines);
        }
        for line in &mut lines {
            line.in_test |= whole;
        }
        Self { path: path.to_owned(), lines }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The last part of the path.
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The lines with their numbers, counted from one.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether `mark` is a comment on line `number`, or alone on the lines just above it.
    pub(crate) fn is_marked(&self, number: usize, mark: &str) -> bool {
        let has = |line: &Line| line.comment.contains(mark) || line.text.contains(&format!("# {mark}"));
        let (above, rest) = self.lines.split_at(number.saturating_sub(1).min(self.lines.len()));
        let comments = above.iter().rev().take_while(|line| {
            let text = line.text.trim_start();
            text.starts_with("//") || text.starts_with('#') && !text.starts_with("#[")
        });
        rest.first().is_some_and(has) || comments.into_iter().any(has)
    }
}

/// Every text file below `root`, in the order of their paths.
pub(crate) fn read_all(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    read_below(root, "", &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn read_below(root: &Path, folder: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() && !MADE_BY_TOOLS.contains(&name.as_str()) {
            read_below(root, &path, sources)?;
        } else if kind.is_file() && entry.metadata()?.len() <= TEXT_BYTES_MAX {
            // What is not UTF-8 is a fixture, not text.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                sources.push(Source::new(&path, &text));
            }
        }
    }
    Ok(())
}

fn is_test_path(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    folders.split('/').any(|part| part == "tests")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
        || name.ends_with("_test.rs")
}

fn cut_plain(text: &str) -> Vec<Line> {
    let line = |text: &str| Line { text: text.to_owned(), code: text.to_owned(), ..Line::default() };
    text.lines().map(line).collect()
}

fn cut_rust(text: &str) -> Vec<Line> {
    let mut cutter = Cutter { chars: text.chars().collect(), at: 0, lines: vec![Line::default()] };
    cutter.run();
    let mut lines = cutter.lines;
    if text.ends_with('\n') || text.is_empty() {
        lines.pop();
    }
    for (line, text) in lines.iter_mut().zip(text.lines()) {
        text.clone_into(&mut line.text);
    }
    lines
}

struct Cutter {
    chars: Vec<char>,
    at: usize,
    lines: Vec<Line>,
}

impl Cutter {
    fn run(&mut self) {
        while let Some(char) = self.peek(0) {
            match (char, self.peek(1)) {
                ('/', Some('/')) => self.line_comment(),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if !self.after_word() => self.raw_string(),
                ('b' | 'c', Some('r')) if !self.after_word() => self.code(char),
                ('\'', _) => self.quote(),
                _ => self.code(char),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Whether the character before is part of a word that is not a string's prefix.
    fn after_word(&self) -> bool {
        let back = |count| self.at.checked_sub(count).and_then(|at| self.chars.get(at));
        let is_word = |char: Option<&char>| char.is_some_and(|char| is_word_char(*char));
        match back(1) {
            Some('b' | 'c') => is_word(back(2)),
            char => is_word(char),
        }
    }

    /// Takes one character that is neither code nor comment.
    fn skip(&mut self) {
        if self.peek(0) == Some('\n') {
            self.lines.push(Line::default());
        }
        self.at += 1;
    }

    fn code(&mut self, char: char) {
        if char != '\n'
            && let Some(line) = self.lines.last_mut()
        {
            line.code.push(char);
        }
        self.skip();
    }

    fn comment(&mut self, char: char) {
        if char != '\n'
            && let Some(line) = self.lines.last_mut()
        {
            line.comment.push(char);
        }
        self.skip();
    }

    fn line_comment(&mut self) {
        while let Some(char) = self.peek(0)
            && char != '\n'
        {
            self.comment(char);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(char) = self.peek(0) {
            match (char, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.comment(char);
                    continue;
                }
            }
            self.skip();
            self.skip();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.code('"');
        while let Some(char) = self.peek(0) {
            match char {
                '"' => return self.code('"'),
                '\\' => {
                    self.skip();
                    self.skip();
                }
                _ => self.skip(),
            }
        }
    }

    fn raw_string(&mut self) {
        let hashes = self.chars.iter().skip(self.at + 1).take_while(|char| **char == '#').count();
        if self.peek(1 + hashes) != Some('"') {
            // A raw identifier, such as `r#type`.
            return self.code('r');
        }
        for _ in 0..hashes + 2 {
            self.skip();
        }
        while let Some(char) = self.peek(0) {
            self.skip();
            if char == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                (0..hashes).for_each(|_| self.skip());
                break;
            }
        }
        if let Some(line) = self.lines.last_mut() {
            line.code.push_str("\"\"");
        }
    }

    /// A character, whose content is dropped, or the name of a lifetime, which is code.
    fn quote(&mut self) {
        let escaped = self.peek(1) == Some('\\');
        if !escaped && self.peek(2) != Some('\'') {
            return self.code('\'');
        }
        self.code('\'');
        self.skip();
        if escaped {
            self.skip();
        }
        while let Some(char) = self.peek(0)
            && char != '\''
            && char != '\n'
        {
            self.skip();
        }
        self.code('\'');
    }
}

pub(crate) fn is_word_char(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Whether `word` stands in `code` with no letter, digit or underscore on either side.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_word_char) && !after.is_some_and(is_word_char)
    })
}

/// Marks the items under `#[cfg(test)]` and `#[test]`, from the attribute to the closing brace.
fn mark_tests(lines: &mut [Line]) {
    let mut end = 0;
    for start in 0..lines.len() {
        let begins = lines.get(start).is_some_and(|line| is_test_attribute(&line.code));
        if start >= end && begins {
            end = item_end(lines, start);
        }
        if let Some(line) = lines.get_mut(start) {
            line.in_test = start < end;
        }
    }
}

fn is_test_attribute(code: &str) -> bool {
    let code = code.trim_start();
    code.starts_with("#[cfg(test)")
        || code.starts_with("#[cfg(all(test")
        || code.starts_with("#[test]")
        || code.starts_with("#[tokio::test")
}

/// The line after the item whose attributes begin at `start`.
fn item_end(lines: &[Line], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (index, line) in lines.iter().enumerate().skip(start) {
        for char in line.code.chars() {
            match char {
                '[' | '(' => brackets += 1,
                ']' | ')' => brackets = brackets.saturating_sub(1),
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return index + 1;
                    }
                }
                ';' if depth == 0 && brackets == 0 => return index + 1,
                _ => {}
            }
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_are_not_code() {
        let source = Source::new(
            "a.rs",
            "let a = \"HashMap \\\" // no\"; // HashMap\nlet b = r#\"std::fs\n\"quoted\"\"#; let c = 1;\n/* x /* y */\nz */ let d = 'x';\nfn f<'a>(q: &'a str) { '\\'' }\n",
        );
        let code: Vec<_> = source.lines.iter().map(|line| line.code.trim()).collect();
        assert_eq!(
            code,
            [
                "let a = \"\";",
                "let b =",
                "\"\"; let c = 1;",
                "",
                "let d = '';",
                "fn f<'a>(q: &'a str) { '' }"
            ]
        );
        assert!(source.lines[0].comment.contains("HashMap"));
        assert_eq!(source.lines[3].text, "/* x /* y */");
    }

    #[test]
    fn byte_strings_and_raw_identifiers_are_cut_like_the_rest() {
        let source = Source::new("a.rs", "let a = br\"sleep(\"; let r#type = b\"x\"; for r in b {}\n");
        assert_eq!(source.lines[0].code, "let a = b\"\"; let r#type = b\"\"; for r in b {}");
    }

    #[test]
    fn only_the_items_of_tests_are_marked() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { let c = \"}\"; }\n}\nfn d() {}\n#[cfg(test)]\nmod far;\nfn e() {}\n";
        let source = Source::new("src/a.rs", text);
        let marks: Vec<_> = source.lines.iter().map(|line| line.in_test).collect();
        assert_eq!(marks, [false, true, true, true, true, false, true, true, false]);
        let whole = Source::new("crates/x/tests/a.rs", "fn a() {}\n");
        assert!(whole.lines[0].in_test);
    }

    #[test]
    fn a_mark_counts_on_the_line_and_in_the_comment_above() {
        let source = Source::new("a.rs", "// order-free: counted only\nlet a = 1;\nlet b = 2;\n");
        assert!(source.is_marked(2, "order-free:"));
        assert!(!source.is_marked(3, "order-free:"));
    }

    #[test]
    fn words_are_found_whole() {
        assert!(has_word("a: HashMap<u8, u8>", "HashMap"));
        assert!(!has_word("a: MyHashMap<u8, u8>", "HashMap"));
    }
}
