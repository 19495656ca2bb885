import TestSupport
import Testing

@testable import Supervision

/// Behaviour as text: `Scripts/*.txt` hold what happens to one node, and the rules and effects that it leads
/// to.
@Suite struct ScriptTests {
    @Test(arguments: Script.all())
    func theTraceReadsAsWritten(_ script: Script) throws {
        let stage = Stage()
        try script.run { command in try stage.run(command) }
        #expect(stage.complaints == [])
    }

    @Test func eachRuleDecidesInAScriptAndIsMissedThere() throws {
        var scripts: [String: [Script]] = [:]
        for script in Script.all() {
            let stage = Stage()
            _ = try script.holds { command in try stage.run(command) }
            for rule in stage.recorder.everyone { scripts[rule, default: []].append(script) }
        }
        for rule in Rule.all {
            guard let witnesses = scripts[rule.name] else {
                Issue.record("no script in which \(rule.name) decides")
                continue
            }
            let isMissed = try witnesses.contains { script in
                let stage = Stage(table: Rule.all.filter { $0.name != rule.name })
                return try !script.holds { command in try stage.run(command) }
            }
            #expect(isMissed, "without \(rule.name) every script reads the same")
        }
    }
}
