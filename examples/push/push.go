// Pushes to a user with net/http: go run push.go USER ORDER, with PUSHGATE_KEY (and PUSHGATE_API) set.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"time"
)

var client = http.Client{Timeout: 10 * time.Second}

// api returns where the gateway's HTTP API is.
func api() string {
	if url := os.Getenv("PUSHGATE_API"); url != "" {
		return url
	}
	return "http://127.0.0.1:8001"
}

// push pushes once. An error: there was no answer.
func push(body map[string]any) (status int, retryAfter time.Duration, answer string, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return
	}
	request, err := http.NewRequest("POST", api()+"/v1/push", bytes.NewReader(encoded))
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("PUSHGATE_KEY"))
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return response.StatusCode, time.Duration(seconds) * time.Second, string(text), err
}

// pushReliably pushes until it is stored, for 90 s. Repeating is safe for two minutes, because of the push's id.
func pushReliably(body map[string]any) (string, error) {
	until := time.Now().Add(90 * time.Second)
	random := rand.New(rand.NewSource(time.Now().UnixNano()))
	for wait := 500 * time.Millisecond; ; wait *= 2 {
		status, retryAfter, answer, err := push(body)
		switch {
		case err == nil && status == http.StatusAccepted:
			return answer, nil
		case err == nil && status != http.StatusTooManyRequests && status < 500:
			return "", errors.New(answer)
		} // else it may be stored or not: again
		pause := retryAfter + time.Duration(random.Int63n(int64(wait)))
		if time.Now().Add(pause).After(until) {
			return "", errors.New("the gateway did not take the push in time")
		}
		time.Sleep(pause)
	}
}

func main() {
	user, order := os.Args[1], os.Args[2]
	data := map[string]any{"order": order}

	// Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
	_, _, answer, err := push(map[string]any{"user": user, "event": "packing", "data": data})
	if err != nil {
		log.Print(err)
	}
	fmt.Println(answer)

	// Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
	answer, err = pushReliably(map[string]any{"user": user, "event": "paid", "data": data,
		"qos": "reliable", "ttl": 86400, "id": "order-" + order + "-paid"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
}
