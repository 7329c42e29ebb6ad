//! The examples of kept spans in `docs/formats.md`, for the tests that hold them true.

/// Holds that bytes are those of the example below a heading: what stands before two spaces in its lines is hexadecimal.
pub(super) fn assert_documented(kept: &[u8], heading: &str) {
    let text = include_str!("../../docs/formats.md");
    let (_, example) = text.split_once(heading).unwrap();
    let (_, example) = example.split_once("```\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let hex = |line: &'static str| line.trim_start().split("  ").next().unwrap_or_default();
    let documented: String = example.lines().flat_map(|line| hex(line).split_whitespace()).collect();
    let kept: String = kept.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(kept, documented, "{heading}");
}
