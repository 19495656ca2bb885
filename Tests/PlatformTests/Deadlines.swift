import Platform

/// A time on `BootClock`, so many seconds from now.
func inSeconds(_ seconds: Double) -> Int64 { BootClock.now() + Int64(seconds * 1e9) }
