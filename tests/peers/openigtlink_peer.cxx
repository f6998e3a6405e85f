// A peer made with the C++ OpenIGTLink library. It checks every CRC and tells, a line for each message, what it got.
//   receive PORT IMAGES FILE   connect, take messages until so many pictures came, the last one's pixels into FILE
//   send PORT                  connect and send one message of each kind
//   serve COUNT                listen on loopback, tell the port, send COUNT transforms to whoever comes, hang up in one
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "igtlClientSocket.h"
#include "igtlImageMessage.h"
#include "igtlMath.h"
#include "igtlMessageHeader.h"
#include "igtlPositionMessage.h"
#include "igtlQuaternionTrackingDataMessage.h"
#include "igtlStatusMessage.h"
#include "igtlStringMessage.h"
#include "igtlTimeStamp.h"
#include "igtlTrackingDataMessage.h"
#include "igtlTransformMessage.h"

namespace {

// The library's own listening socket takes every address; this one is handed a connection made on loopback.
class HeldSocket : public igtl::ClientSocket {
 public:
  static HeldSocket* Make(int descriptor) {
    HeldSocket* made = new HeldSocket;
    made->m_SocketDescriptor = descriptor;
    return made;
  }
};

void SetTime(igtl::MessageBase* message, unsigned seconds, unsigned nanoseconds) {
  igtl::TimeStamp::Pointer at = igtl::TimeStamp::New();
  at->SetTime(seconds, nanoseconds);
  message->SetTimeStamp(at);
}

void Send(igtl::Socket* socket, igtl::MessageBase* message) {
  message->Pack();
  socket->Send(message->GetPackPointer(), message->GetPackSize());
}

void Pose(int number, igtl::Matrix4x4& matrix) {
  const float half = 0.1f * number;
  float turn[4] = {0.0f, 0.0f, std::sin(half), std::cos(half)};
  igtl::QuaternionToMatrix(turn, matrix);
  matrix[0][3] = 1.5f * number;
  matrix[1][3] = -2.25f;
  matrix[2][3] = 100.125f;
}

void SendTransform(igtl::Socket* socket, int number) {
  igtl::TransformMessage::Pointer message = igtl::TransformMessage::New();
  igtl::Matrix4x4 matrix;
  Pose(number, matrix);
  message->SetDeviceName("NeedleToTracker");
  message->SetMatrix(matrix);
  SetTime(message, 1700000000u + number, 250000000u);
  Send(socket, message);
}

int Receive(int port, int wanted, const char* file) {
  igtl::ClientSocket::Pointer socket = igtl::ClientSocket::New();
  if (socket->ConnectToServer("127.0.0.1", port) != 0) return 3;
  igtl::TimeStamp::Pointer at = igtl::TimeStamp::New();
  int images = 0;
  while (images < wanted) {
    igtl::MessageHeader::Pointer header = igtl::MessageHeader::New();
    header->InitPack();
    if (socket->Receive(header->GetPackPointer(), header->GetPackSize()) != header->GetPackSize()) return 4;
    header->Unpack();
    unsigned seconds, nanoseconds;
    header->GetTimeStamp(at);
    at->GetTimeStamp(&seconds, &nanoseconds);
    std::printf("%s %s %u %u", header->GetDeviceType(), header->GetDeviceName(), seconds, nanoseconds);
    igtl::Matrix4x4 matrix;
    if (std::strcmp(header->GetDeviceType(), "IMAGE") == 0) {
      igtl::ImageMessage::Pointer image = igtl::ImageMessage::New();
      image->SetMessageHeader(header);
      image->AllocatePack();
      socket->Receive(image->GetPackBodyPointer(), image->GetPackBodySize());
      if (!(image->Unpack(1) & igtl::MessageHeader::UNPACK_BODY)) return 5;
      int size[3];
      float spacing[3];
      image->GetDimensions(size);
      image->GetSpacing(spacing);
      image->GetMatrix(matrix);
      std::printf(" %d %d %d %d %d %d", size[0], size[1], size[2], image->GetScalarType(), image->GetEndian(),
                  image->GetCoordinateSystem());
      std::printf(" %a %a %a", spacing[0], spacing[1], spacing[2]);
      if (++images == wanted) {
        std::FILE* out = std::fopen(file, "wb");
        std::fwrite(image->GetScalarPointer(), 1, image->GetImageSize(), out);
        std::fclose(out);
      }
    } else if (std::strcmp(header->GetDeviceType(), "TRANSFORM") == 0) {
      igtl::TransformMessage::Pointer transform = igtl::TransformMessage::New();
      transform->SetMessageHeader(header);
      transform->AllocatePack();
      socket->Receive(transform->GetPackBodyPointer(), transform->GetPackBodySize());
      if (!(transform->Unpack(1) & igtl::MessageHeader::UNPACK_BODY)) return 5;
      transform->GetMatrix(matrix);
    } else {
      socket->Skip(header->GetBodySizeToRead(), 0);
      std::printf("\n");
      continue;
    }
    for (int row = 0; row < 3; ++row)
      for (int column = 0; column < 4; ++column) std::printf(" %a", matrix[row][column]);
    std::printf("\n");
  }
  socket->CloseSocket();
  return 0;
}

int SendAll(int port) {
  igtl::ClientSocket::Pointer socket = igtl::ClientSocket::New();
  if (socket->ConnectToServer("127.0.0.1", port) != 0) return 3;
  for (int number = 0; number < 5; ++number) SendTransform(socket, number);

  igtl::PositionMessage::Pointer position = igtl::PositionMessage::New();
  position->SetDeviceName("Pointer");
  position->SetPosition(1.0f, 2.0f, 3.0f);
  position->SetQuaternion(0.0f, 0.0f, 0.6f, 0.8f);
  SetTime(position, 5u, 0u);
  Send(socket, position);

  igtl::Matrix4x4 matrix;
  Pose(3, matrix);
  igtl::TrackingDataMessage::Pointer tracking = igtl::TrackingDataMessage::New();
  tracking->SetDeviceName("Aurora");
  for (int tool = 0; tool < 2; ++tool) {
    igtl::TrackingDataElement::Pointer element = igtl::TrackingDataElement::New();
    element->SetName(tool == 0 ? "Needle" : "Reference");
    element->SetType(igtl::TrackingDataElement::TYPE_6D);
    element->SetMatrix(matrix);
    tracking->AddTrackingDataElement(element);
  }
  SetTime(tracking, 6u, 0u);
  Send(socket, tracking);

  igtl::QuaternionTrackingDataMessage::Pointer quaternions = igtl::QuaternionTrackingDataMessage::New();
  quaternions->SetDeviceName("Aurora");
  igtl::QuaternionTrackingDataElement::Pointer element = igtl::QuaternionTrackingDataElement::New();
  element->SetName("Needle");
  element->SetType(igtl::QuaternionTrackingDataElement::TYPE_5D);
  element->SetPosition(4.0f, 5.0f, 6.0f);
  element->SetQuaternion(0.0f, 0.6f, 0.0f, 0.8f);
  quaternions->AddQuaternionTrackingDataElement(element);
  SetTime(quaternions, 7u, 0u);
  Send(socket, quaternions);

  igtl::StatusMessage::Pointer status = igtl::StatusMessage::New();
  status->SetDeviceName("Aurora");
  status->SetCode(igtl::StatusMessage::STATUS_NOT_READY);
  status->SetSubCode(-7);
  status->SetErrorName("WARMUP");
  status->SetStatusString("the field generator warms up");
  SetTime(status, 8u, 0u);
  Send(socket, status);

  igtl::StringMessage::Pointer text = igtl::StringMessage::New();
  text->SetDeviceName("Aurora");
  text->SetString("hello");
  SetTime(text, 9u, 0u);
  Send(socket, text);

  short pixels[2][3] = {{1, 2, 3}, {4, 5, 30000}};
  igtl::ImageMessage::Pointer image = igtl::ImageMessage::New();
  image->SetDeviceName("Grabber");
  image->SetDimensions(3, 2, 1);
  image->SetSpacing(0.5f, 0.25f, 1.0f);
  image->SetScalarType(igtl::ImageMessage::TYPE_UINT16);
  image->SetEndian(igtl::ImageMessage::ENDIAN_LITTLE);
  image->SetMatrix(matrix);
  image->AllocateScalars();
  std::memcpy(image->GetScalarPointer(), pixels, sizeof pixels);
  SetTime(image, 10u, 0u);
  Send(socket, image);

  char end;
  socket->Receive(&end, 1);  // until the other end hangs up
  socket->CloseSocket();
  return 0;
}

int Serve(int count) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener, 1) != 0) return 3;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  for (int visit = 0; visit < 2; ++visit) {
    igtl::SmartPointer<HeldSocket> socket = HeldSocket::Make(::accept(listener, nullptr, nullptr));
    for (int number = 0; number < count; ++number) SendTransform(socket.GetPointer(), 10 * visit + number);
    if (visit == 0) {
      igtl::TransformMessage::Pointer message = igtl::TransformMessage::New();
      message->SetDeviceName("Cut");
      message->Pack();
      socket->Send(message->GetPackPointer(), message->GetPackSize() - 11);
    }
    socket->CloseSocket();
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count == 5 && std::strcmp(words[1], "receive") == 0)
    return Receive(std::atoi(words[2]), std::atoi(words[3]), words[4]);
  if (count == 3 && std::strcmp(words[1], "send") == 0) return SendAll(std::atoi(words[2]));
  if (count == 3 && std::strcmp(words[1], "serve") == 0) return Serve(std::atoi(words[2]));
  return 2;
}
