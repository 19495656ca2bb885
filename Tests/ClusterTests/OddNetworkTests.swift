import Lab
import TestSupport
import Testing

extension RealPostgres {
    @Suite("Odd networks", .serialized, .requiresRoot, .requiresPostgres, .requiresHerd)
    struct OddNetworkTests {
        /// Postgres cuts what is longer than 63 bytes: with these, nothing that it sees would tell members
        /// apart.
        private static let longPrefix = String(repeating: "n", count: 54)

        @Test(
            "IPv6 only, and names that differ in their last letter only: founded, switched over, failed over")
        func ipv6() throws {
            var options = Herd.Options(settings: ["lease_duration": "\(Int(Arena.lease.seconds))s"])
            options.isIPv6Only = true
            options.namePrefix = Self.longPrefix
            let herd = try Herd(options, programs: Programs(directory: BuiltPrograms.directory))
            try herd.start()
            try herd.until(herd.isWhole, within: Arena.patience)
            let trial = try Trial(herd)
            defer { trial.end() }

            let first = try herd.primary()
            let target = herd.others(than: first)[0]
            let outcome = try first.command("switchover", "--to", target.name)
            #expect(outcome.status == 0, "\(outcome.error)")
            try herd.until(herd.isWhole, within: Arena.patience)
            #expect(try herd.primary().name == target.name)
            try trial.expectNothingLost()

            let fault = Moment.current
            try target.losePower()
            try herd.until(
                .primary(isNot: target.name), seenBy: herd.others(than: target), within: Arena.patience)
            try trial.writesGoOn()
            try target.returnPower()
            try herd.until(herd.isWhole, within: Arena.patience)
            try trial.expectLossOnlyAround(fault)
            trial.end()
            trial.expectOneWriter()
            try herd.destroy()
        }
    }
}
