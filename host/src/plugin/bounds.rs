//! What a plugin may ask of the compiler, looked at before it is compiled.
//!
//! A compiler takes time and memory in proportion to the code, but for what it keeps for each variable where ways through the code
//! meet: eight kilobytes of nested loops can be made to take minutes and gigabytes. The compiler itself has no limit to set.

use std::collections::HashSet;

use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

/// Size of a plugin's file. Those of Python and JavaScript have 10 to 40 MiB.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;
/// Code of one function. The largest of CPython has 417 KiB, that of SpiderMonkey 168 KiB.
const MAX_FUNCTION_BYTES: usize = 2 << 20;
/// Variables of a function times its blocks, for each of which the compiler has an entry. The most are 141,082 and 389,011.
const MAX_ENTRIES: u64 = 16 << 20;
/// Values that meet in a function: for each block, loop and `if` the variables that are set within. The most are 10,249 and
/// 17,972; so many take five seconds at worst.
const MAX_JOINS: u64 = 64 << 10;
/// The same of all functions together. CPython has 390,019, SpiderMonkey 784,921.
const MAX_ALL_JOINS: u64 = 4 << 20;

/// All bounds on code.
pub(super) const ALL: [u64; 4] = [MAX_FUNCTION_BYTES as u64, MAX_ENTRIES, MAX_JOINS, MAX_ALL_JOINS];

/// Refuses code that would take more to compile than any honest plugin; `Err` says which.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    let malformed = |error: BinaryReaderError| format!("it is no valid component: {error}");
    let (mut functions, mut joins) = (0, 0);
    for payload in Parser::new(0).parse_all(file) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(malformed)? {
            let size = Size::of(&body).map_err(malformed)?;
            joins += size.joins;
            if let Some(what) = size.too_much() {
                return Err(format!("its function {functions} (in the order of its code) {what}"));
            }
            functions += 1;
        }
    }
    if joins > MAX_ALL_JOINS {
        return Err(format!("{joins} values meet in its {functions} functions; {MAX_ALL_JOINS} are the most"));
    }
    Ok(())
}

/// What a function asks of the compiler.
#[derive(Default)]
struct Size {
    bytes: usize,
    variables: u64,
    blocks: u64,
    /// Counted until they are too many.
    joins: u64,
}

impl Size {
    fn of(body: &FunctionBody) -> Result<Self, BinaryReaderError> {
        // Parameters are few, and not told here.
        let mut size = Self { bytes: body.range().len(), variables: 1, ..Self::default() };
        for local in body.get_locals_reader()? {
            size.variables += u64::from(local?.0);
        }
        if size.bytes > MAX_FUNCTION_BYTES {
            return Ok(size);
        }
        // The variables set in each block that is open.
        let mut open: Vec<HashSet<u32>> = vec![HashSet::new()];
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() && size.joins <= MAX_JOINS {
            match operators.read()? {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    size.blocks += 1;
                    open.push(HashSet::new());
                }
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                    open.last_mut().map(|set| set.insert(local_index));
                }
                Operator::End => {
                    let set = open.pop().unwrap_or_default();
                    if let Some(outer) = open.last_mut() {
                        size.joins += set.len() as u64;
                        outer.extend(set);
                    }
                }
                _ => {}
            }
        }
        Ok(size)
    }

    fn too_much(&self) -> Option<String> {
        let Self { bytes, variables, blocks, joins } = self;
        if *bytes > MAX_FUNCTION_BYTES {
            return Some(format!("has {bytes} bytes of code; {MAX_FUNCTION_BYTES} are the most"));
        }
        if variables * blocks > MAX_ENTRIES {
            return Some(format!("has {variables} variables in {blocks} blocks: too many to compile"));
        }
        (*joins > MAX_JOINS).then(|| format!("sets too many variables in nested blocks: over {MAX_JOINS} values meet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a module with as many functions of so many locals, with this code.
    fn check_code(functions: usize, locals: usize, code: &str) -> Result<(), String> {
        let function = format!("(func (local {}) {code})", "i32 ".repeat(locals));
        let text = format!("(component (core module (func) {}))", function.repeat(functions));
        check(&wat::parse_str(text).unwrap())
    }

    /// Loops, one in another, that set so many variables.
    fn loops(count: usize, variables: usize) -> String {
        let sets: String = (0..variables).map(|variable| format!("(local.set {variable} (i32.const 1))")).collect();
        format!("{} {sets} {}", "loop ".repeat(count), "end ".repeat(count))
    }

    #[test]
    fn code_that_no_honest_plugin_has_is_refused() {
        let place = "its function 1 (in the order of its code)";
        assert_eq!(check_code(1, 256, &loops(256, 256)), Ok(()));
        assert_eq!(
            check_code(1, 256, &loops(257, 256)).unwrap_err(),
            format!("{place} sets too many variables in nested blocks: over 65536 values meet")
        );
        assert_eq!(check_code(64, 256, &loops(256, 256)), Ok(()));
        assert_eq!(
            check_code(65, 256, &loops(256, 256)).unwrap_err(),
            "4259840 values meet in its 66 functions; 4194304 are the most"
        );
        assert_eq!(
            check_code(1, 9999, &"(block)".repeat(2000)).unwrap_err(),
            format!("{place} has 10000 variables in 2000 blocks: too many to compile")
        );
        assert_eq!(
            check_code(1, 0, &"(drop (i64.const 1))".repeat(700_000)).unwrap_err(),
            format!("{place} has 2100002 bytes of code; 2097152 are the most")
        );
        assert!(check(b"\0asm\x0d\0\x01\0\x01").unwrap_err().starts_with("it is no valid component: "));
    }
}
