// goroutines: a Go program whose threads wait in the scheduler, in a system call, and in a loop that is locked to its
// thread. Prints "ready pid=P".
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
)

//go:noinline
func readForEver(from int, started *sync.WaitGroup) int {
	runtime.LockOSThread()
	started.Done()
	buffer := make([]byte, 1)
	count, _ := syscall.Read(from, buffer)
	return count
}

//go:noinline
func serve(from int, depth int, started *sync.WaitGroup) int {
	if depth == 0 {
		return readForEver(from, started)
	}
	return serve(from, depth-1, started) + depth
}

func main() {
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		os.Exit(99)
	}
	var started sync.WaitGroup
	for i := 0; i < 3; i++ {
		started.Add(1)
		go serve(pipe[0], 2+i, &started)
	}
	started.Wait()
	fmt.Printf("ready pid=%d\n", os.Getpid())
	started.Add(1)
	serve(pipe[0], 1, &started)
}
