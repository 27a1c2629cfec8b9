// jit: functions that V8 has compiled wait in one of its built-in functions. Run it with --perf-basic-prof --always-sparkplug --no-opt.
// Prints "ready pid=P".
const shared = new Int32Array(new SharedArrayBuffer(4));

function innermostWait(value, stay) {
    return stay ? Atomics.wait(shared, 0, 0) : value + 1;
}

function middleLayer(value, stay) {
    return innermostWait(value * 2, stay) + "!";
}

function outermostLayer(value, stay) {
    return middleLayer(value + 1, stay).length;
}

let sum = 0;
for (let i = 0; i < 2000; i++)
    sum += outermostLayer(i, false);
console.log(`ready pid=${process.pid} sum=${sum}`);
outermostLayer(sum, true);
