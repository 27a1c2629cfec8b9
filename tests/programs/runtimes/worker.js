// worker: a node program whose lines on stdin are obeyed. Run it with --allow-natives-syntax. Prints "ready P".
//   worker   a worker thread runs into a breakpoint                    main  the main thread does
//   count N  prints "count N: C", C grows while the main thread runs    exit  ends, with status 7
const { Worker, isMainThread } = require("worker_threads");

function serve() {
    let counted = 0;
    setInterval(() => counted++, 1);
    require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
        if (line === "worker")
            new Worker(__filename);
        else if (line === "main")
            %SystemBreak();
        else if (line.startsWith("count"))
            console.log(`${line}: ${counted}`);
        else if (line === "exit")
            process.exit(7);
    });
    console.log(`ready ${process.pid}`);
}

if (isMainThread)
    serve();
else
    %SystemBreak();
