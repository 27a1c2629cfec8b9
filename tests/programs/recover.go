// recover [N]: recovers from a nil dereference N times (1000 unless given), then prints "recovered N".
// recover crash: does not recover from one, and ends by SIGABRT, while other threads of the runtime wait.
// The Go runtime turns each SIGSEGV into a panic; a supervisor must leave it to that.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

type record struct {
	padding [8]byte
	value   int
}

func dereference(pointer *record) (recovered bool) {
	defer func() { recovered = recover() != nil }()
	pointer.value = 42
	return false
}

func main() {
	wanted := 1000
	if len(os.Args) > 1 && os.Args[1] == "crash" {
		debug.SetTraceback("crash")
		var null *record
		null.value = 42
	}
	if len(os.Args) > 1 {
		wanted, _ = strconv.Atoi(os.Args[1])
	}
	recovered := 0
	for turn := 0; turn < wanted; turn++ {
		if dereference(nil) {
			recovered++
		}
	}
	fmt.Println("recovered", recovered)
}
