//! What a plugin may ask of the compiler, looked at before it is compiled.
//!
//! A compiler takes time and memory in proportion to the code, but for what it keeps for each variable in each block of a
//! function: sixty kilobytes of code can be made to need gigabytes. The compiler itself has no limit that could be set.

use wasmparser::{FunctionBody, Operator, Parser, Payload};

/// Size of a plugin's file. Those of Python and JavaScript have 10 to 40 MiB.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;
/// Code of one function. The largest of CPython has 417 KiB, that of SpiderMonkey 168 KiB.
const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Variables of a function times its loops: at each loop a variable may become a value of its own. The most of CPython's and
/// SpiderMonkey's are 8,432 and 46,648.
const MAX_LOOP_VALUES: u64 = 1 << 20;
/// Variables of a function times its blocks, for each of which the compiler has an entry. The most are 141,082 and 389,011.
const MAX_BLOCK_VALUES: u64 = 16 << 20;

/// Refuses code that would take more to compile than any honest plugin; `Err` says which.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let malformed = |error: wasmparser::BinaryReaderError| format!("it is no valid component: {error}");
    let mut functions = 0;
    for payload in Parser::new(0).parse_all(file) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(malformed)? {
            check_function(&body, functions).map_err(malformed)??;
            functions += 1;
        }
    }
    Ok(())
}

fn check_function(body: &FunctionBody, number: usize) -> wasmparser::Result<Result<(), String>> {
    let too = |what: String| Ok(Err(format!("its function {number} (in the order of its code) {what}")));
    let bytes = body.range().len();
    if bytes > MAX_FUNCTION_BYTES {
        return too(format!("has {bytes} bytes of code; {MAX_FUNCTION_BYTES} are the most"));
    }
    // Parameters are few, and not told here.
    let mut variables = 1;
    for local in body.get_locals_reader()? {
        variables += u64::from(local?.0);
    }
    let (mut blocks, mut loops) = (0, 0);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        match operators.read()? {
            Operator::Loop { .. } => loops += 1,
            Operator::Block { .. } | Operator::If { .. } | Operator::Else | Operator::BrIf { .. } => blocks += 1,
            _ => {}
        }
    }
    if variables * loops > MAX_LOOP_VALUES || variables * (blocks + loops) > MAX_BLOCK_VALUES {
        return too(format!("has {variables} variables in {loops} loops and {blocks} blocks: too many to compile"));
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a module with a function of so many locals, with this code.
    fn check_code(locals: usize, code: &str) -> Result<(), String> {
        let locals = "i32 ".repeat(locals);
        check(&wat::parse_str(format!("(component (core module (func) (func (local {locals}) {code})))")).unwrap())
    }

    #[test]
    fn code_that_no_honest_plugin_has_is_refused() {
        assert_eq!(check_code(999, &format!("{}{}", "(loop ".repeat(1000), ")".repeat(1000))), Ok(()));
        let loops = check_code(999, &format!("{}{}", "(loop ".repeat(1100), ")".repeat(1100))).unwrap_err();
        let place = "its function 1 (in the order of its code)";
        assert_eq!(loops, format!("{place} has 1000 variables in 1100 loops and 0 blocks: too many to compile"));
        let blocks = check_code(9999, &"(block)".repeat(2000)).unwrap_err();
        assert_eq!(blocks, format!("{place} has 10000 variables in 0 loops and 2000 blocks: too many to compile"));
        let long = check_code(0, &"(drop (i64.const 1))".repeat(700_000)).unwrap_err();
        assert_eq!(long, format!("{place} has 2100002 bytes of code; 2097152 are the most"));
        assert!(check(b"\0asm\x0d\0\x01\0\x01").unwrap_err().starts_with("it is no valid component: "));
    }
}
