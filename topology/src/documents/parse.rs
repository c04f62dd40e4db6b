//! YAML text → [`Node`]s, one document at a time, within [`limits`].

use std::cell::Cell;
use std::str::Chars;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan};

use super::codes::Code;
use super::files::{Lines, Piece};
use super::limits;
use super::sink::Sink;
use super::tree::{Entry, Node, Span, Style, Value};

/// Hands every document of `piece` to `each`, with the text from where the one before it ended to where it ends. After an
/// error that makes the rest unreadable it stops, and the sink knows that documents were lost.
pub(crate) fn documents<'t>(
    piece: Piece<'t>,
    sink: &mut Sink<'_>,
    mut each: impl FnMut(&Node, Piece<'t>, &mut Sink<'_>),
) {
    let mut builder =
        Builder { file: piece.file, line: piece.line, frames: Vec::new(), root: None, nodes: 0 };
    let left = Cell::new(limits::STRETCH);
    let mut parser = Parser::new_from_iter(Metered { characters: piece.text.chars(), left: &left });
    let mut reached = builder.span(YamlSpan::default());
    let mut lines = Lines::new(piece);
    while let Some(event) = parser.next_event() {
        if left.replace(limits::STRETCH) == 0 {
            let message = format!(
                "more than {} Mi characters follow before the next value ends",
                limits::STRETCH >> 20
            );
            let help =
                "write long lists and maps as blocks, not in brackets, or split the document".to_owned();
            sink.error(Code::TooLong, reached, message, help);
            return sink.lose_documents();
        }
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = *error.marker();
                let span = builder.span(YamlSpan::empty(at));
                sink.error(Code::YamlSyntax, span, format!("this is no YAML: {}", error.info()), None);
                return sink.lose_documents();
            }
        };
        reached = builder.span(span);
        match event {
            Event::DocumentStart(_) => builder.nodes = 0,
            Event::DocumentEnd => {
                let text = up_to(span, reached.line, &mut lines);
                if let Some(root) = builder.root.take() {
                    each(&root, text, sink);
                }
            }
            event => {
                if builder.take(event, span, sink) == Step::Stop {
                    return sink.lose_documents();
                }
            }
        }
    }
}

/// The text of a document that ended at `end`: before a `---` there, with a `...`, or with all that is read.
fn up_to<'t>(end: YamlSpan, line: u32, lines: &mut Lines<'t>) -> Piece<'t> {
    let is_mark = end.len() == 3;
    let rest = lines.from(line).trim_start_matches('\u{feff}');
    if !is_mark {
        lines.from(u32::MAX);
    } else if rest.starts_with("...") {
        lines.from(line + 1);
    }
    lines.cut()
}

/// Characters of a text, which end early when the parser has taken [`limits::STRETCH`] of them without an event.
struct Metered<'t> {
    characters: Chars<'t>,
    left: &'t Cell<usize>,
}

impl Iterator for Metered<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let left = self.left.get().checked_sub(1)?;
        self.left.set(left);
        self.characters.next()
    }
}

/// Whether to go on reading.
#[derive(PartialEq, Eq)]
enum Step {
    Go,
    Stop,
}

/// Puts events together to a tree.
struct Builder {
    file: u32,
    /// The first line of what is parsed.
    line: u32,
    frames: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
}

/// A list or map that is still open.
enum Frame {
    List { span: Span, items: Vec<Node> },
    Map { span: Span, entries: Vec<Entry>, key: Option<Node> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, yaml: YamlSpan, sink: &mut Sink<'_>) -> Step {
        let span = self.span(yaml);
        match event {
            Event::Scalar(text, style, _, tag) => {
                refuse_tag(tag.is_some(), span, sink);
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                self.add(Node { span, value: Value::Scalar { text: text.into(), style } }, sink);
            }
            Event::Alias(_) => {
                let help = "write out what the alias stands for: documents say everything where it applies";
                sink.error(Code::YamlAlias, span, "aliases are not allowed", help.to_owned());
                self.add(Node { span, value: Value::Broken }, sink);
            }
            Event::SequenceStart(_, tag) => {
                refuse_tag(tag.is_some(), span, sink);
                self.frames.push(Frame::List { span, items: Vec::new() });
            }
            Event::MappingStart(_, tag) => {
                refuse_tag(tag.is_some(), span, sink);
                self.frames.push(Frame::Map { span, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(yaml, sink),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {
                return Step::Go;
            }
        }
        self.within_limits(span, sink)
    }

    fn within_limits(&mut self, span: Span, sink: &mut Sink<'_>) -> Step {
        self.nodes += 1;
        if self.frames.len() > limits::DEPTH {
            let message = format!("nested deeper than {} levels", limits::DEPTH);
            sink.error(Code::TooDeep, span, message, "no document needs more than 9".to_owned());
            return Step::Stop;
        }
        if self.nodes > limits::NODES {
            let message = format!("this document has more than {} values", limits::NODES);
            sink.error(Code::TooMany, span, message, "split it into several documents".to_owned());
            return Step::Stop;
        }
        Step::Go
    }

    /// Closes the innermost list or map.
    fn close(&mut self, yaml: YamlSpan, sink: &mut Sink<'_>) {
        let node = match self.frames.pop() {
            Some(Frame::List { span, items }) => {
                Node { span: self.stretch(span, yaml), value: Value::List(items) }
            }
            Some(Frame::Map { span, entries, .. }) => {
                let entries = without_duplicates(entries, sink);
                let first = entries.first().map(|entry| entry.key_span);
                let flow = self.stretch(span, yaml);
                // A block map begins with its first key; a map in braces before it.
                let span =
                    first.filter(|key| (key.line, key.column) == (span.line, span.column)).unwrap_or(flow);
                Node { span, value: Value::Map(entries) }
            }
            None => return,
        };
        self.add(node, sink);
    }

    /// `span` up to the end of `yaml`, where that is on the same line.
    fn stretch(&self, span: Span, yaml: YamlSpan) -> Span {
        let end = self.span(YamlSpan::empty(yaml.end));
        let width =
            if end.line == span.line { end.column.saturating_sub(span.column).max(1) } else { span.width };
        Span { width, ..span }
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, sink: &mut Sink<'_>) {
        match self.frames.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(Node { span: key_span, value: Value::Scalar { text, .. } }) => {
                    // An empty value has no place of its own.
                    let empty =
                        matches!(&node.value, Value::Scalar { text, style: Style::Plain } if text.is_empty());
                    let node = if empty { Node { span: key_span, ..node } } else { node };
                    entries.push(Entry { key: text, key_span, node });
                }
                Some(Node { value: Value::Broken, .. }) => {}
                Some(key) => {
                    let message = format!("a key must be text, not {}", key.describe());
                    sink.error(Code::WrongType, key.span, message, None);
                }
            },
        }
    }

    fn span(&self, yaml: YamlSpan) -> Span {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let width = if yaml.start.line() == yaml.end.line() { yaml.len() } else { 1 };
        Span {
            file: self.file,
            line: number(yaml.start.line().max(1) - 1).saturating_add(self.line),
            column: number(yaml.start.col().saturating_add(1)),
            width: number(width.max(1)),
        }
    }
}

fn refuse_tag(tagged: bool, span: Span, sink: &mut Sink<'_>) {
    if tagged {
        let help = "leave the tag out; text that looks like a number goes in quotes";
        sink.error(Code::YamlTag, span, "tags are not allowed", help.to_owned());
    }
}

/// Reports keys that are there already, and keeps the first of each.
fn without_duplicates(entries: Vec<Entry>, sink: &mut Sink<'_>) -> Vec<Entry> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&index| (&entries[index].key, index));
    let mut repeated = vec![false; entries.len()];
    for pair in order.windows(2) {
        let (first, second) = (&entries[pair[0]], &entries[pair[1]]);
        if first.key == second.key {
            repeated[pair[1]] = true;
            let message = format!("{} is written twice in this map", super::sink::quoted(&second.key));
            let help = format!("it is also in line {}", first.key_span.line);
            sink.error(Code::DuplicateKey, second.key_span, message, help);
        }
    }
    let mut repeated = repeated.into_iter();
    entries.into_iter().filter(|_| !repeated.next().unwrap_or_default()).collect()
}
