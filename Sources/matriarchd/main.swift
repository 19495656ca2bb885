import Glibc

// Only this: a closure made here would belong to the main actor and trap on other threads.
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
