internal import Glibc
internal import Proxy

exit(ProxyProgram.run(arguments: Array(CommandLine.arguments.dropFirst())))
