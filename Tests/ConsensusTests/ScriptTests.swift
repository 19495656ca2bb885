import Consensus
import TestSupport
import Testing

/// Behaviour as text: `Scripts/*.txt` hold commands and the trace they lead to.
@Suite struct ScriptTests {
    @Test(arguments: Script.all())
    func theTraceReadsAsWritten(_ script: Script) throws {
        let stage = Stage()
        try script.run { command in try stage.run(command) }
    }
}
