//! The program `offhook`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: runtime::Allocator = runtime::Allocator;

fn main() -> ExitCode {
    offhook::command::main()
}
