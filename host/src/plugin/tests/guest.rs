//! Plugins for tests and benchmarks, put together from WebAssembly text.

/// A plugin from core code: see `shell.wat` for what it can import.
#[derive(Clone, Copy, Default)]
pub struct Guest<'a> {
    /// An aggregate; otherwise a transform.
    pub is_aggregate: bool,
    /// One that exports `state-migration`, too.
    pub has_migration: bool,
    /// Imports of the component, lowered to core functions.
    pub imports: &'a str,
    /// How the core module gets them.
    pub with: &'a str,
    /// Fields of the core module.
    pub code: &'a str,
    /// What `cabi_realloc` does first.
    pub in_realloc: &'a str,
    /// What the functions that follow a call do first.
    pub in_reset: &'a str,
}

impl Guest<'_> {
    /// The component's binary.
    pub fn build(&self) -> Vec<u8> {
        wat::parse_str(self.text()).expect("the text of a test's plugin")
    }

    /// The component as text.
    pub fn text(&self) -> String {
        let mut interfaces = vec![match self.is_aggregate {
            true => ("aggregate", include_str!("aggregate.wat")),
            false => ("transform", include_str!("transform.wat")),
        }];
        if self.has_migration {
            interfaces.push(("state-migration", include_str!("migration.wat")));
        }
        let part = |parts: &str, name: &str| {
            let begin = parts.find(&format!(";; {name}:\n")).expect("the part of an interface");
            let part = &parts[begin..];
            let end = part[1..].find("\n;; ").map_or(part.len(), |end| end + 2);
            part[..end].to_owned()
        };
        let (shell, exports) = include_str!("shell.wat").split_once(";; exports:\n").expect("what is exported");
        let exports = exports.split_once(";; end\n").expect("its end").0;
        let export = |(interface, parts): &(&str, &str)| {
            let export =
                exports.replace("@EXPORTED@", &part(parts, "exported")).replace("@GIVEN@", &part(parts, "given"));
            export.replace("@INTERFACE@", interface)
        };
        let lifted: String = interfaces.iter().map(|(_, parts)| part(parts, "lifted")).collect();
        (shell.to_owned() + &interfaces.iter().map(export).collect::<String>() + ")")
            .replace("@LIFTED@", &lifted)
            .replace("@IMPORTS@", self.imports)
            .replace("@WITH@", self.with)
            .replace("@CODE@", self.code)
            .replace("@IN-REALLOC@", self.in_realloc)
            .replace("@IN-RESET@", self.in_reset)
    }
}

/// The code of a transform that returns what it is given, with code of the test's own at three places.
pub fn identity(in_open: &str, in_apply: &str, after_apply: &str) -> String {
    include_str!("identity.wat")
        .replace("@IN-OPEN@, @IN-APPLY@ and @AFTER-APPLY@", "Placeholders")
        .replace("@IN-OPEN@", in_open)
        .replace("@IN-APPLY@", in_apply)
        .replace("@AFTER-APPLY@", after_apply)
}
